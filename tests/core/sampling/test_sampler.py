"""Identities of routed sampling, the cost it counts, and what it says of bad parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from attrs import evolve
from exact import Altered, Exact, exact
from torch import Tensor

from mixvel_core.errors import SamplingError, UsageError
from mixvel_core.protocols import Expert, Selector
from mixvel_core.sampling.sampler import Sampler
from mixvel_integrators.integrators import DDIM, Euler, Heun, Multistep
from mixvel_oracles.denoisers import OracleRouter
from mixvel_schedules.schedules import Cosine
from mixvel_selectors.cached import Cached
from mixvel_selectors.selectors import Fixed, Iid, Mixture, Nucleus, SumUp, TopK

SELECTORS: dict[str, Selector] = {
    "mixture": Mixture(),
    "iid": Iid(),
    "fixed": Fixed(),
    "top1": TopK(k=1),
    "topk": TopK(k=2),
    "nucleus": Nucleus(mass=0.9),
    "sum-up": SumUp(),
    "cached": Cached(),
    "cached-tolerance": Cached(tolerance=0.3),
    "cached-two": Cached(tolerance=0.01, max_experts=2),
}
COSTS = [("mixture", 4), ("iid", 1), ("fixed", 1), ("top1", 1), ("topk", 2), ("sum-up", 1), ("cached", 1)]
INTEGRATORS = [Euler(), Heun(), DDIM(), Multistep()]


@pytest.fixture(scope="module")
def problem() -> Exact:
    return exact(Cosine(), experts=4, dimension=3)


def with_experts(problem: Exact, experts: tuple[Any, ...], fractions: tuple[float, ...]) -> Exact:
    router = OracleRouter(experts=experts, fractions=fractions)
    return evolve(problem, experts=experts, router=router, fractions=fractions)


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("integrator", INTEGRATORS, ids=lambda i: type(i).__name__)
def test_one_expert_equals_the_unrouted_step(problem: Exact, selector: str, integrator: Any) -> None:
    alone = with_experts(problem, (problem.whole,), (1.0,))
    unrouted, _ = alone.run(Mixture(), integrator, 6, count=10)
    routed, _ = alone.run(SELECTORS[selector], integrator, 6, count=10)
    assert torch.equal(routed, unrouted)


# What `cached` recalls is only near what identical experts would say.
@pytest.mark.parametrize("selector", [name for name in SELECTORS if not name.startswith("cached")])
def test_identical_experts_make_the_router_irrelevant(problem: Exact, selector: str) -> None:
    alone = with_experts(problem, (problem.whole,), (1.0,))
    same = with_experts(problem, (problem.whole,) * 3, (0.2, 0.5, 0.3))
    expected, _ = alone.run(Mixture(), DDIM(), 8, count=12)
    got, _ = same.run(SELECTORS[selector], DDIM(), 8, count=12)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("selector", ["mixture", "top1", "topk", "nucleus", "cached", "cached-tolerance"])
def test_permuting_experts_permutes_nothing_visible(problem: Exact, selector: str) -> None:
    order = [2, 0, 3, 1]
    turned = with_experts(problem, tuple(problem.experts[k] for k in order), tuple(problem.fractions[k] for k in order))
    expected, field = problem.run(SELECTORS[selector], Multistep(), 8, count=12)
    got, turned_field = turned.run(SELECTORS[selector], Multistep(), 8, count=12)
    torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(torch.stack(turned_field.usage), torch.stack(field.usage)[:, order])


@pytest.mark.parametrize(("selector", "cost"), COSTS)
def test_evaluations_are_counted_for_each_sample(problem: Exact, selector: str, cost: int) -> None:
    _, field = problem.run(SELECTORS[selector], Heun(), 5, count=7)
    assert torch.equal(field.evaluations, torch.full((7,), cost * 5 * 2))
    assert torch.stack(field.usage).sum(1).tolist() == pytest.approx([cost] * 10)


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("batch", [1, 3, 10])
def test_a_sample_depends_on_seed_and_index_alone(problem: Exact, selector: str, batch: int) -> None:
    sampler = problem.sampler(SELECTORS[selector], DDIM(), 5, 0.05)
    whole = sampler.sample(count=10, shape=(3,), seed=5, dtype=torch.float64)
    cut = sampler.sample(count=10, shape=(3,), seed=5, dtype=torch.float64, batch=batch)
    torch.testing.assert_close(cut.x, whole.x, rtol=1e-12, atol=1e-12)
    assert torch.equal(cut.evaluations, whole.evaluations)
    torch.testing.assert_close(cut.usage, whole.usage)
    fewer = sampler.sample(count=4, shape=(3,), seed=5, dtype=torch.float64)
    torch.testing.assert_close(fewer.x, whole.x[:4], rtol=1e-12, atol=1e-12)
    other = sampler.sample(count=10, shape=(3,), seed=6, dtype=torch.float64)
    assert not torch.allclose(other.x, whole.x)


def test_random_selection_follows_the_posterior(problem: Exact) -> None:
    """At the first step every sample sees a = pi: the shares drawn are pi within four standard errors."""
    for selector in (Iid(), Fixed()):
        _, field = problem.run(selector, Euler(), 1, count=4000)
        for share, pi in zip(field.usage[0].tolist(), problem.fractions, strict=True):
            assert abs(share - pi) < 4 * (pi * (1 - pi) / 4000) ** 0.5


def test_fixed_never_changes_its_expert_and_iid_does(problem: Exact) -> None:
    _, fixed = problem.run(Fixed(), Euler(), 6, count=50)
    assert all(torch.equal(u, fixed.usage[0]) for u in fixed.usage)
    _, iid = problem.run(Iid(), Euler(), 6, count=50)
    assert not all(torch.equal(u, iid.usage[0]) for u in iid.usage)


@pytest.mark.parametrize(
    ("spoil", "words"), [(lambda m: m * torch.nan, "not finite"), (lambda m: m[:, :-1], "shape (6, 2)")]
)
def test_a_bad_expert_is_named_with_its_time(problem: Exact, spoil: Callable[[Tensor], Tensor], words: str) -> None:
    experts: list[Expert] = list(problem.experts)
    experts[2] = Altered(expert=problem.experts[2], change=lambda m, t: m if t > 0.7 else spoil(m))
    sampler = evolve(problem.sampler(Mixture(), DDIM(), 10, 0.05), experts=experts)
    with pytest.raises(SamplingError, match=r"expert 2 .*t=0\.\d+, evaluation 5 of the field") as caught:
        sampler.sample(count=6, shape=(3,), dtype=torch.float64)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_requests_are_refused_in_words(problem: Exact) -> None:
    for change, words in (
        ({"steps": 0}, "steps must be at least 1"),
        ({"delta": 1.0}, "delta must be"),
        ({"grid": "cubic"}, "unknown time grid 'cubic'"),
    ):
        sampler: Sampler = evolve(problem.sampler(Mixture(), DDIM(), 4, 0.05), **change)
        with pytest.raises(UsageError, match=words):
            sampler.sample(count=2, shape=(3,))
    with pytest.raises(UsageError, match="count and batch"):
        problem.sampler(Mixture(), DDIM(), 4, 0.05).sample(count=0, shape=(3,))
