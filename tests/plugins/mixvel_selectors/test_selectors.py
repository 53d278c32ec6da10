"""What each selector computes of its own; what all have in common is in the conformance suite."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attrs import evolve, frozen
from exact import Exact, exact
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mixvel_core.protocols import Evaluations, Moments, NoiseSchedule, Selector
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.testing import run_checks
from mixvel_integrators.integrators import DDIM, Heun, Multistep
from mixvel_schedules.schedules import Cosine, Linear
from mixvel_selectors.cached import Cached
from mixvel_selectors.selectors import Iid, Mixture, Nucleus, SumUp, TopK
from mixvel_selectors.switching import Switching

VARIANTS: dict[str, Selector] = {
    "topk": TopK(k=3),
    "nucleus": Nucleus(mass=0.8),
    "cached-tolerance": Cached(tolerance=0.2),
    "cached-two": Cached(tolerance=0.0, max_experts=2),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_options_other_than_the_examples_conform(name: str) -> None:
    results = list(run_checks("selector", lambda: VARIANTS[name]))
    assert {result.check.name: result.what for result in results if result.error} == {}


@pytest.mark.parametrize("integrator", [DDIM(), Heun(), Multistep()], ids=["ddim", "heun", "2m"])
def test_cached_without_tolerance_for_error_is_the_mixture_bit_for_bit(integrator: Any) -> None:
    problem = exact(Linear(), experts=5, dimension=4)
    expected, _ = problem.run(Mixture(), integrator, 9, count=12)
    got, field = problem.run(Cached(tolerance=0.0), integrator, 9, count=12)
    assert torch.equal(got, expected)
    assert int(field.evaluations[0]) == 5 * 9 * integrator.evaluations


@pytest.mark.parametrize("most", [1, 2, 4])
def test_cached_never_asks_more_than_it_may(most: int) -> None:
    problem = exact(Cosine(), experts=6, dimension=4)
    _, field = problem.run(Cached(tolerance=1e-6, max_experts=most), Multistep(), 12, count=10)
    shares = torch.stack(field.usage).sum(1)
    assert float(shares.max()) <= most + 1e-6
    assert int(field.evaluations.max()) <= most * 12
    if most > 1:
        assert int(field.evaluations.max()) > 1.5 * 12


def test_a_smaller_tolerance_asks_more_and_errs_less() -> None:
    problem = exact(Cosine(), experts=16, dimension=8)
    end = problem.exact(count=60)
    errors, costs = [], []
    for tolerance in (None, 1.0, 0.1, 0.0):
        x, field = problem.run(Cached(tolerance=tolerance), Multistep(), 60, count=60)
        errors.append(float((x - end).norm(dim=1).median()))
        costs.append(float(field.evaluations.double().mean()))
    assert costs == sorted(costs)
    assert costs[0] == 60
    assert costs[-1] == 16 * 60
    # Once the integrator's own error rules, a hundredth up or down is chance.
    assert errors[1] <= 1.01 * errors[0]
    assert errors[2] < errors[0]
    assert errors[2] == pytest.approx(errors[3], rel=0.06)


def test_cached_without_moments_asks_everyone_once_and_then_one_a_step() -> None:
    problem = exact(Cosine(), experts=4, dimension=3)

    @frozen(kw_only=True, eq=False)
    class Silent:
        inner: Any

        @property
        def schedule(self) -> NoiseSchedule:
            schedule: NoiseSchedule = self.inner.schedule
            return schedule

        @property
        def moments(self) -> Moments | None:
            return None

        def denoise(self, x: Tensor, t: Tensor) -> Tensor:
            m: Tensor = self.inner.denoise(x, t)
            return m

    silent: Exact = evolve(problem, experts=tuple(Silent(inner=e) for e in problem.experts))  # type: ignore[misc]  # no densities needed
    x, field = silent.run(Cached(), Multistep(), 40, count=30)
    assert torch.equal(field.evaluations, torch.full((30,), 4 + 39))
    end = problem.exact(count=30)
    iid, _ = problem.run(Iid(), Multistep(), 43, count=30)
    assert float((x - end).norm(dim=1).median()) < 0.1 * float((iid - end).norm(dim=1).median())


@pytest.mark.parametrize("selector", [Cached(), Cached(tolerance=0.3), Switching()])
def test_without_moments_the_first_answers_are_not_extrapolated(selector: Selector) -> None:
    """Also where the first time is below 1, as that of the grid `native` is."""
    m = torch.tensor([[1.0, -2.0], [3.0, 0.5], [0.0, 4.0]], dtype=torch.float64)
    x, a = torch.zeros(5, 2, dtype=torch.float64), torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64).expand(5, 3)
    state = selector.start(x, Cosine(), None, SampleDraws(seed=0, index=torch.arange(5)))
    for t in (0.8, 0.6, 0.4):
        mask, state = selector.select(x, t, a, state)
        sample, expert = mask.nonzero(as_tuple=True)
        M, state = selector.combine(x, t, a, Evaluations(sample=sample, expert=expert, m=m[expert]), state)
        torch.testing.assert_close(M, a @ m)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**20), experts=st.integers(1, 9), steps=st.integers(1, 60))
def test_sum_up_keeps_turns_within_a_bound_of_the_weights(seed: int, experts: int, steps: int) -> None:
    """The debt of every expert stays above -1 and sums to zero, so none exceeds K - 1."""
    generator = torch.Generator().manual_seed(seed)
    x, a_n = torch.zeros(3, 2), torch.rand(steps, 3, experts, dtype=torch.float64, generator=generator)
    selector = SumUp()
    state = selector.start(x, Cosine(), None, SampleDraws(seed=0, index=torch.arange(3)))
    owed = torch.zeros(3, experts, dtype=torch.float64)
    for a in a_n / a_n.sum(2, keepdim=True):
        mask, state = selector.select(x, 0.5, a, state)
        assert torch.equal(mask.sum(1), torch.ones(3, dtype=torch.int64))
        owed += a - mask.double()
        assert float(owed.min()) > -1.0
        assert float(owed.max()) <= max(experts - 1, 1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**20), mass=st.floats(0.01, 1.0))
def test_nucleus_takes_the_fewest_that_hold_the_mass(seed: int, mass: float) -> None:
    a = torch.rand(4, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) ** 4 + 1e-9
    a = a / a.sum(1, keepdim=True)
    mask, _ = Nucleus(mass=mass).select(torch.zeros(4, 1), 0.5, a, None)
    for row, chosen in zip(a, mask, strict=True):
        held = row[chosen]
        assert float(held.sum()) >= mass - 1e-9
        assert float(held.sum() - held.min()) < mass
        assert float(held.min()) >= float(row[~chosen].max()) if bool((~chosen).any()) else True


def test_iid_draws_by_the_weights_and_not_by_the_batch() -> None:
    a = torch.tensor([[0.1, 0.6, 0.3]]).expand(20000, 3)
    draws = SampleDraws(seed=3, index=torch.arange(20000))
    mask, _ = Iid().select(torch.zeros(20000, 1), 0.5, a, Iid().start(torch.zeros(1), Cosine(), None, draws))
    for share, expected in zip(mask.double().mean(0).tolist(), [0.1, 0.6, 0.3], strict=True):
        assert share == pytest.approx(expected, abs=4 * (expected * (1 - expected) / 20000) ** 0.5)


@pytest.mark.parametrize("name", ["top1", "topk", "nucleus"])
def test_biased_selectors_leave_out_what_they_did_not_ask(name: str) -> None:
    """With answers 0 for the likeliest and 1 for the rest, M is the share of the rest among those asked."""
    a = torch.tensor([[0.5, 0.3, 0.15, 0.05]], dtype=torch.float64)
    selector = {"top1": TopK(k=1)}.get(name) or VARIANTS[name]
    mask, state = selector.select(torch.zeros(1, 1), 0.5, a, None)
    asked = mask[0].nonzero()[:, 0]
    answers = Evaluations(sample=torch.zeros_like(asked), expert=asked, m=(asked > 0).double()[:, None])
    M, _ = selector.combine(torch.zeros(1, 1), 0.5, a, answers, state)
    expected = {"top1": 0.0, "topk": 0.45 / 0.95, "nucleus": 0.3 / 0.8}[name]
    assert float(M) == pytest.approx(expected, rel=1e-12)
