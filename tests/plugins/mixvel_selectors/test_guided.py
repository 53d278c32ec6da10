"""Selectors that choose for both estimates of a guidance at once: `cached`, which refreshes both, and `fixed`."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from attrs import evolve, frozen
from labelled import classes, labelled
from torch import Tensor

from mixvel_core.field.guess import DiagonalGuess
from mixvel_core.protocols import Condition, Evaluations, Prior, Selector
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.guided_field import GuidedField
from mixvel_core.sampling.routed_field import SingleExpertRouter
from mixvel_core.sampling.sampler import Sampler
from mixvel_guidance.guidance import ClassifierFree
from mixvel_integrators.integrators import DDIM
from mixvel_oracles.labelled import LabelledRouter
from mixvel_schedules.schedules import Cosine
from mixvel_selectors.cached import Cached
from mixvel_selectors.feedback import coefficient
from mixvel_selectors.memory import angle
from mixvel_selectors.selectors import Fixed, Mixture
from mixvel_selectors.switching import Switching

K, N, COUNT, DELTA = 4, 20, 24, 0.05
PROBLEM = labelled(Cosine(), experts=K, dimension=8)


def sampler(selector: Selector, guidance: ClassifierFree, steps: int = N) -> Sampler:
    return Sampler(
        schedule=PROBLEM.schedule,
        experts=PROBLEM.experts,
        router=PROBLEM.router,
        selector=selector,
        integrator=DDIM(),
        steps=steps,
        delta=DELTA,
        guidance=guidance,
    )


def ends(selector: Selector, guidance: ClassifierFree, steps: int = N) -> tuple[Tensor, GuidedField]:
    draws = SampleDraws(seed=0, index=torch.arange(COUNT))
    x = draws.noise((8,), torch.float64)
    found, field = sampler(selector, guidance, steps).trajectory(x, draws, condition=classes(COUNT))
    assert isinstance(field, GuidedField)
    return found, field


@pytest.mark.parametrize("w", [0.0, 3.0, 7.5])
@pytest.mark.parametrize("low", [0.0, 0.3])
def test_with_tolerance_zero_it_is_the_guided_mixture(w: float, low: float) -> None:
    guidance = ClassifierFree(scale=w, low=low, high=1.0 - low)
    found, field = ends(Cached(tolerance=0.0), guidance)
    exact, of_mixture = ends(Mixture(), guidance)
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-12)
    assert int(field.evaluations.min()) > int(of_mixture.evaluations.min()) - K  # the first without one is a guess


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.2, 0.8)])
def test_one_expert_a_step_and_each_once_under_the_condition(low: float, high: float) -> None:
    """The guesses are of whole shards: right at t = 1 without the condition, nowhere under it."""
    _, field = ends(Cached(), ClassifierFree(scale=3.0, low=low, high=high))
    given, other = (torch.stack(one.usage).sum(1).round().int().tolist() for one in (field.given, field.other))
    assert given == [K] + [1] * (N - 1)
    assert other == ([1] * N if high == 1.0 else [K] + [1] * (len(other) - 1))


def test_both_answers_of_an_expert_are_refreshed_together() -> None:
    _, field = ends(Cached(), ClassifierFree(scale=3.0))
    assert torch.equal(torch.stack(field.given.usage)[1:], torch.stack(field.other.usage)[1:])


@pytest.mark.parametrize(("w", "most"), [(1.0, 1.1), (3.0, 1.1), (7.5, 1.3)])
def test_its_error_is_about_that_of_the_guided_mixture(w: float, most: float) -> None:
    guidance = ClassifierFree(scale=w)
    x = SampleDraws(seed=0, index=torch.arange(COUNT)).noise((8,), torch.float64)
    exact = PROBLEM.guided_flow(x, classes(COUNT), guidance, (1.0, DELTA))
    cached, mixture = (
        float((ends(selector, guidance)[0] - exact).norm(dim=1).median()) for selector in (Cached(), Mixture())
    )
    assert cached < most * mixture


def test_an_answer_without_weight_is_left_out() -> None:
    """Then the estimate whose it is has another expert's."""
    selector, x = Cached(), torch.zeros(3, 2, dtype=torch.float64)
    prior = Prior(mean=torch.zeros(2, 2, dtype=x.dtype), variance=torch.ones(2, 2, dtype=x.dtype))
    draws = SampleDraws(seed=0, index=torch.arange(3))
    states = tuple(selector.start(x, Cosine(), prior, draws) for _ in range(2))
    a = x.new_tensor([[1.0, 0.0]]).expand(3, 2), x.new_tensor([[0.01, 0.99]]).expand(3, 2)
    for t in (1.0, 0.9, 0.8):
        masks, _ = selector.select_both(x, t, a, 2.0, (states[0], states[1]))
        for mask, one, state in zip(masks, a, states, strict=True):
            assert mask.sum(1).tolist() == [1] * 3
            assert float(one[mask].min()) > 0
            sample, expert = mask.nonzero(as_tuple=True)
            selector.combine(x, t, one, Evaluations(sample=sample, expert=expert, m=x[sample] + 1.0), state)


def test_misses_are_given_back_with_the_scales_of_their_own_steps() -> None:
    """Answers that leave their guesses linearly in the angle, w from step to step another: as S1 adds up what it is
    given, x is where the guided mixture would have brought it once the fainter expert has been evaluated."""
    schedule, selector, x = Cosine(), Cached(), torch.zeros(2, 2, dtype=torch.float64)
    times = [1.0, 0.95, 0.85, 0.8, 0.7, 0.55, 0.5, 0.35, 0.25, 0.1]
    mean = x.new_tensor([[1.0, -1.0], [0.5, 2.0]])
    slopes = x.new_tensor([[0.0, 0.0], [3.0, -1.0]]), x.new_tensor([[0.0, 0.0], [1.0, 2.0]])
    a = x.new_tensor([[0.8, 0.2]]).expand(2, 2), x.new_tensor([[0.7, 0.3]]).expand(2, 2)
    prior = Prior(mean=mean, variance=torch.zeros_like(mean))
    states = [selector.start(x, schedule, prior, SampleDraws(seed=0, index=torch.arange(2))) for _ in range(2)]
    total, passed = torch.zeros_like(x), 0
    for n, (t, s) in enumerate(pairwise(times)):
        w = 2.0 + 0.5 * n
        for state in states:
            selector.begin_step(t, s, state)
        masks, _ = selector.select_both(x, t, a, w, (states[0], states[1]))
        assert torch.equal(masks[0], masks[1])
        sample, expert = masks[0].nonzero(as_tuple=True)
        for factor, one, state, slope in zip((w, 1.0 - w), a, states, slopes, strict=True):
            m = mean + slope * (angle(schedule, 1.0) - angle(schedule, t))
            M, _ = selector.combine(x, t, one, Evaluations(sample=sample, expert=expert, m=m[expert]), state)
            total += factor * coefficient(schedule, t, s) * (M - one @ m)
        passed += 1
        if bool(masks[0][0, 1]):
            break
    assert passed >= 3
    torch.testing.assert_close(total, torch.zeros_like(total), rtol=0, atol=1e-12)


def test_fixed_keeps_the_expert_of_the_condition_for_both() -> None:
    """So each sample follows its own expert's guided flow, whatever the other's weights would be."""
    w = 3.0
    found, field = ends(Fixed(), ClassifierFree(scale=w), steps=10)
    k = field.origin
    assert torch.equal(k, field.other.origin)
    assert len(set(k.tolist())) > 1
    for i in range(4):
        one = PROBLEM.experts[int(k[i])]
        alone = Sampler(
            schedule=PROBLEM.schedule,
            experts=[one],
            router=SingleExpertRouter(),
            selector=Mixture(),
            integrator=DDIM(),
            steps=10,
            delta=DELTA,
            guidance=ClassifierFree(scale=w),
        )
        draws = SampleDraws(seed=0, index=torch.tensor([i]))
        x = draws.noise((8,), torch.float64)
        end, _ = alone.trajectory(x, draws, condition=classes(COUNT).rows(torch.tensor([i])))
        torch.testing.assert_close(end[0], found[i], rtol=0, atol=1e-12)


@frozen(kw_only=True, eq=False)
class Guessing:
    """The exact router with guesses of whole shards; ``reads``: whether it reads the class."""

    router: LabelledRouter
    reads: bool

    @property
    def null(self) -> Condition | None:
        return self.router.null if self.reads else None

    def given(self, condition: Condition) -> Guessing:
        return evolve(self, router=self.router.given(condition))

    def guess(self, x: Tensor) -> DiagonalGuess:
        return DiagonalGuess(mean=x.new_zeros(K, 8), variance=x.new_ones(K, 8))

    def start(self, x: Tensor, t: Tensor) -> None:
        """No state."""

    def weights(self, x: Tensor, t: Tensor, state: None) -> tuple[Tensor, None]:
        return self.router.weights(x, t, state)


@pytest.mark.parametrize(("reads", "first"), [(True, 1), (False, K)])
@pytest.mark.parametrize("selector", [Cached(), Switching()], ids=["cached", "switching"])
def test_a_guess_that_goes_by_the_condition_needs_no_answers_first(selector: Selector, reads: bool, first: int) -> None:
    made = evolve(sampler(selector, ClassifierFree(scale=3.0)), router=Guessing(router=PROBLEM.router, reads=reads))
    draws = SampleDraws(seed=0, index=torch.arange(COUNT))
    field = made.start(draws.noise((8,), torch.float64), 1.0, draws, classes(COUNT))
    assert isinstance(field, GuidedField)
    field.denoise(draws.noise((8,), torch.float64), 1.0)
    assert field.given.evaluations.tolist() == [first] * COUNT
    assert field.other.evaluations.tolist() == [1] * COUNT
