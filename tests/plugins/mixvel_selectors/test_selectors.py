"""What holds for every selector, and what each promises of its own."""

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
from mixvel_core.sampling.sampler import SampleDraws, Sampler
from mixvel_integrators.integrators import DDIM, Heun, Multistep
from mixvel_schedules.schedules import Cosine, Linear
from mixvel_selectors.cached import Cached
from mixvel_selectors.single import Fixed, Iid, SumUp
from mixvel_selectors.weighted import Mixture, Nucleus, TopK

SELECTORS: dict[str, Selector] = {
    "mixture": Mixture(),
    "iid": Iid(),
    "fixed": Fixed(),
    "top1": TopK(k=1),
    "topk": TopK(k=3),
    "nucleus": Nucleus(mass=0.8),
    "sum-up": SumUp(),
    "cached": Cached(),
    "cached-tolerance": Cached(tolerance=0.2),
    "cached-two": Cached(tolerance=0.0, max_experts=2),
}


@frozen(kw_only=True, eq=False)
class Constant:
    """An expert that always gives the same answer, and whose shard is that one point."""

    schedule: NoiseSchedule
    value: Tensor
    shares: bool = True

    @property
    def moments(self) -> Moments | None:
        return Moments(mean=self.value, variance=torch.zeros_like(self.value)) if self.shares else None

    def denoise(self, x: Tensor, t: Tensor) -> Tensor:
        return self.value.expand_as(x).clone()


@frozen(kw_only=True)
class Given:
    """A router that says what it is told."""

    a: Tensor

    def start(self, x: Tensor, t: Tensor) -> None:
        """No state."""

    def weights(self, x: Tensor, t: Tensor, state: None) -> tuple[Tensor, None]:
        return self.a.to(x).expand(len(x), -1), None


def sampler(experts: list[Any], a: Tensor, selector: Selector, integrator: Any = None, steps: int = 7) -> Sampler:
    return Sampler(
        schedule=Cosine(),
        experts=experts,
        router=Given(a=a),
        selector=selector,
        integrator=integrator or DDIM(),
        steps=steps,
        delta=0.05,
    )


@pytest.mark.parametrize("name", SELECTORS)
@pytest.mark.parametrize("integrator", [DDIM(), Heun(), Multistep()], ids=["ddim", "heun", "2m"])
@pytest.mark.parametrize("shares", [True, False], ids=["moments", "no-moments"])
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_the_weights_of_an_estimate_sum_to_one(name: str, integrator: Any, shares: bool, seed: int) -> None:
    """If all experts say the same, so does every selector, whatever the weights."""
    a = torch.rand(5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 1e-3
    value = torch.tensor([0.3, -2.0, 5.0], dtype=torch.float64)
    experts: list[Any] = [Constant(schedule=Cosine(), value=value, shares=shares)] * 5
    field_x = SampleDraws(seed=seed, index=torch.arange(6)).noise((3,), torch.float64)
    one = sampler(experts[:1], torch.ones(1, dtype=torch.float64), Mixture(), integrator)
    many = sampler(experts, a / a.sum(), SELECTORS[name], integrator)
    draws = SampleDraws(seed=seed, index=torch.arange(6))
    expected, got = one.trajectory(field_x, draws)[0], many.trajectory(field_x, draws)[0]
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", SELECTORS)
def test_a_one_hot_router_makes_every_selector_equal(name: str) -> None:
    problem = exact(Cosine(), experts=4, dimension=3)
    one_hot = torch.tensor([0.0, 0.0, 1.0, 0.0], dtype=torch.float64)
    alone = sampler([problem.experts[2]], torch.ones(1, dtype=torch.float64), Mixture(), Multistep())
    routed = sampler(list(problem.experts), one_hot, SELECTORS[name], Multistep())
    x, draws = problem.start(10)
    torch.testing.assert_close(routed.trajectory(x, draws)[0], alone.trajectory(x, draws)[0], rtol=1e-12, atol=1e-12)


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
    assert errors[2] == pytest.approx(errors[3], rel=0.03)


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
    selector = SELECTORS[name]
    mask, state = selector.select(torch.zeros(1, 1), 0.5, a, None)
    asked = mask[0].nonzero()[:, 0]
    answers = Evaluations(sample=torch.zeros_like(asked), expert=asked, m=(asked > 0).double()[:, None])
    M, _ = selector.combine(torch.zeros(1, 1), 0.5, a, answers, state)
    expected = {"top1": 0.0, "topk": 0.45 / 0.95, "nucleus": 0.3 / 0.8}[name]
    assert float(M) == pytest.approx(expected, rel=1e-12)
