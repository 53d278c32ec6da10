"""`cached` gives back what its extrapolations lacked: identities of error feedback, and what must not change by it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from exact import exact
from torch import Tensor

from mixvel_core.protocols import Evaluations, Integrator, NoiseSchedule, Prior
from mixvel_core.sampling.draws import SampleDraws
from mixvel_integrators.angle_multistep import AngleMultistep
from mixvel_integrators.integrators import DDIM, Heun, Multistep
from mixvel_schedules.schedules import Cosine, Linear, Rectified
from mixvel_selectors.cached import Cached
from mixvel_selectors.feedback import coefficient
from mixvel_selectors.memory import angle
from mixvel_selectors.selectors import Mixture

TIMES = [1.0, 0.95, 0.85, 0.8, 0.7, 0.55, 0.5, 0.35, 0.25, 0.1]
A = torch.tensor([[0.8, 0.2]], dtype=torch.float64).expand(4, 2)
MEAN = torch.tensor([[1.0, -1.0], [0.5, 2.0]], dtype=torch.float64)
SLOPE = torch.tensor([[0.0, 0.0], [3.0, -1.0]], dtype=torch.float64)


def until_the_other_is_evaluated(schedule: NoiseSchedule, feedback: float, *, ends: bool = True) -> Tensor:
    """The sum of c (M - sum_k a_k m_k) over steps, (B, D), up to the first evaluation of the fainter of two experts.

    Both guesses are right at t = 1; that expert leaves its guess linearly in the angle, the other never does. ``ends``:
    whether the selector is given the ends of steps.
    """
    selector, x = Cached(feedback=feedback), torch.zeros(4, 2, dtype=torch.float64)
    prior = Prior(mean=MEAN, variance=torch.zeros_like(MEAN))
    state = selector.start(x, schedule, prior, SampleDraws(seed=0, index=torch.arange(4)))
    total, passed = torch.zeros_like(x), 0
    for t, s in pairwise(TIMES):
        if ends:
            selector.begin_step(t, s, state)
        m = MEAN + SLOPE * (angle(schedule, 1.0) - angle(schedule, t))
        mask, state = selector.select(x, t, A, state)
        sample, expert = mask.nonzero(as_tuple=True)
        assert mask.sum(1).tolist() == [1] * 4
        M, state = selector.combine(x, t, A, Evaluations(sample=sample, expert=expert, m=m[expert]), state)
        total += coefficient(schedule, t, s) * (M - A @ m)
        passed += 1
        if bool(mask[0, 1]):
            break
    assert passed >= 3
    return total


@pytest.mark.parametrize("schedule", [Cosine(), Linear(), Rectified()], ids=["cosine", "linear", "rectified"])
def test_misses_that_grow_with_the_age_are_given_back_in_full(schedule: NoiseSchedule) -> None:
    """As S1 adds up what it is given, the state is then where the mixture would have brought it."""
    without = until_the_other_is_evaluated(schedule, 0.0)
    assert float(without.abs().min()) > 1e-5
    assert float(until_the_other_is_evaluated(schedule, 1.0).abs().max()) < 1e-12
    torch.testing.assert_close(until_the_other_is_evaluated(schedule, 0.25), 0.75 * without)


def test_without_the_ends_of_steps_nothing_is_given_back() -> None:
    selector = Cached()
    x = torch.zeros(4, 2, dtype=torch.float64)
    state = selector.start(x, Cosine(), None, SampleDraws(seed=0, index=torch.arange(4)))
    mask, state = selector.select(x, 1.0, A, state)
    sample, expert = mask.nonzero(as_tuple=True)
    selector.combine(x, 1.0, A, Evaluations(sample=sample, expert=expert, m=MEAN[expert]), state)
    assert selector.jump(state) is None
    assert float(until_the_other_is_evaluated(Cosine(), 1.0, ends=False).abs().max()) > 1e-3


def test_the_last_step_to_clean_data_gives_nothing_back_and_is_finite() -> None:
    assert coefficient(Cosine(), 0.1, 0.0) == np.inf
    problem = exact(Cosine(), experts=5, dimension=3)
    for integrator in (DDIM(), AngleMultistep()):
        x, _ = problem.run(Cached(), integrator, 8, delta=0.0, count=10)
        assert bool(x.isfinite().all())


@pytest.mark.parametrize(
    "integrator", [DDIM(), Heun(), Multistep(), AngleMultistep()], ids=["ddim", "heun", "2m", "pc"]
)
def test_where_every_expert_is_evaluated_feedback_changes_no_bit(integrator: Integrator) -> None:
    problem = exact(Linear(), experts=5, dimension=4)
    expected, _ = problem.run(Mixture(), integrator, 9, count=12)
    assert torch.equal(problem.run(Cached(tolerance=0.0), integrator, 9, count=12)[0], expected)
    one = exact(Linear(), experts=1, dimension=4)
    expected, _ = one.run(Mixture(), integrator, 9, count=12)
    assert torch.equal(one.run(Cached(), integrator, 9, count=12)[0], expected)


def test_feedback_lowers_the_error_on_exact_mixtures() -> None:
    problem = exact(Cosine(), experts=8, dimension=16, seed=0)
    end = problem.exact(count=64)
    without, given = [
        float((problem.run(Cached(feedback=g), AngleMultistep(), 80, count=64)[0] - end).norm(dim=1).median())
        for g in (0.0, 1.0)
    ]
    assert given < 0.85 * without
