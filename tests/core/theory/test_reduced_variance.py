"""`switching`: a martingale whose second moment is the formula's, and bounds that hold along trajectories."""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from attrs import evolve, frozen
from discrete import Discrete, flow, moments, random_discrete, sampled, velocity_of
from exact import all_schedules
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mixvel_core.field.transport import wasserstein_2
from mixvel_core.protocols import Evaluations
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.theory.mean_square import steps_of
from mixvel_core.theory.problem import BoundProblem
from mixvel_core.theory.reduced_variance import MIXING, reduced_variance, second_moment
from mixvel_core.theory.table import bounds_of
from mixvel_selectors.hooks import SwitchingOptions
from mixvel_selectors.switching import Switching

SCHEDULES = all_schedules()


@frozen(kw_only=True, eq=False)
class Draw:
    """One draw of a batch: every choice of the expert, (K, B, ...), with its probability q, (B, K)."""

    M: Tensor
    jump: Tensor
    q: Tensor
    a: Tensor
    m: Tensor
    missed: Tensor


def step(selector: Switching, data: Discrete, x: Tensor, t: Tensor, state: Any) -> tuple[Draw, Tensor]:
    """Every expert's M from the state before the draw, and that of the expert that is drawn."""
    a, m, rows = data.a(x, t), data.m_k(x, t), torch.arange(len(x))
    mask, state = selector.select(x, float(t), a, state)
    M, jump, missed = [], [], []
    for k in range(data.K):
        other = copy.deepcopy(state)
        answers = Evaluations(sample=rows, expert=torch.full_like(rows, k), m=m[:, k])
        missed.append(copy.deepcopy(other.memory).store(x, float(t), answers))
        M.append(selector.combine(x, float(t), a, answers, other)[0])
        jump.append(other.jump)
    drawn = mask.long().argmax(1)
    selected, _ = selector.combine(x, float(t), a, Evaluations(sample=rows, expert=drawn, m=m[rows, drawn]), state)
    draw = Draw(M=torch.stack(M), jump=torch.stack(jump), q=state.q, a=a, m=m, missed=torch.stack(missed, dim=1))
    return draw, selected


@pytest.mark.parametrize("selector", [Switching(), Switching(importance=2.0, mixing=0.2), Switching(mixing=1.0)])
def test_increments_have_mean_zero_and_the_second_moment_of_the_formula(selector: Switching) -> None:
    """Not sampled: every expert that can be drawn is, with its probability. Memories differ from sample to sample."""
    data = random_discrete(SCHEDULES["vp-cosine"], dimension=3, count=12, experts=4, radius=1.0, seed=2)
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    state = selector.start(x, data.schedule, moments(data), SampleDraws(seed=3, index=torch.arange(6)))
    seen = 0.0
    for t, s in pairwise(torch.linspace(1.0, 0.1, 9, dtype=torch.float64)):
        one, M = step(selector, data, x, t, state)
        mixture = torch.einsum("bk,bkd->bd", one.a, one.m)
        xi, q = one.M - mixture, one.q.T[:, :, None]
        torch.testing.assert_close((q * xi).sum(0), torch.zeros_like(x), rtol=0, atol=1e-12)
        formula = second_moment(one.a, one.q, one.missed)
        torch.testing.assert_close((q * xi.square()).sum((0, 2)), formula, rtol=1e-9, atol=1e-12)
        # The smooth part is biased, by what is not evaluated: sum_j (1 - q_j) a_j (m_j - m~_j).
        bias = torch.einsum("bk,bkd->bd", (1 - one.q) * one.a, one.missed)
        torch.testing.assert_close((q * (one.M - one.jump)).sum(0), mixture - bias, rtol=0, atol=1e-12)
        # With the importance of age the ratio a_k/q_k is at most 1/e.
        assert float((one.a / one.q).max()) <= 1 / selector.mixing + 1e-9
        seen = max(seen, float(formula.max()))
        x = x + (s - t) * velocity_of(data.schedule.at(t), x, M)
    assert seen > 1e-4


def test_the_papers_draw_is_the_case_without_a_memory() -> None:
    a = torch.tensor([[0.5, 0.3, 0.2, 0.0]], dtype=torch.float64)
    m = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    mean = torch.einsum("bk,bkd->bd", a, m)
    variance = (a[0] * (m - mean[:, None]).square().sum(2)).sum(1)
    torch.testing.assert_close(second_moment(a, a, m), variance)
    torch.testing.assert_close(second_moment(a, a, torch.zeros_like(m)), torch.zeros(1, dtype=torch.float64))


def test_the_bounds_are_of_the_selectors_defaults() -> None:
    assert SwitchingOptions() == SwitchingOptions(importance=1.0, mixing=MIXING)


@settings(deadline=None, max_examples=12)
@given(
    name=st.sampled_from(sorted(SCHEDULES)),
    R=st.floats(0.05, 1.0),
    K=st.integers(1, 4),
    D=st.integers(1, 4),
    N=st.integers(2, 24),
    delta=st.floats(0.15, 0.6),
    seed=st.integers(0, 1000),
    eps=st.one_of(st.just(0.0), st.floats(0.0, 0.3)),
    size=st.floats(0.0, 3.0),
    guess=st.booleans(),
)
def test_mean_squares_and_noise_stay_below_their_bounds(
    *,
    name: str,
    R: float,
    K: int,
    D: int,
    N: int,
    delta: float,
    seed: int,
    eps: float,
    size: float,
    guess: bool,
) -> None:
    """From one starting point, at every step; with and without a prior guess."""
    data = random_discrete(SCHEDULES[name], dimension=D, count=2 * K, experts=K, radius=R, seed=seed)
    problem = BoundProblem(schedule=data.schedule, R=data.R, D=D, K=K, delta=delta, steps=N, eps_r=eps, norm_x1=size)
    count = 200
    start = torch.full((count, D), size / math.sqrt(D), dtype=torch.float64)
    times = torch.linspace(1.0, delta, N + 1, dtype=torch.float64)
    truth = flow(data, start[:1], times)
    points, noise = sampled(data, Switching(), start, times, wrong=eps, guess=guess)
    bound = reduced_variance(problem, steps_of(problem))
    for n in range(1, N + 1):
        square = (points[n] - truth[n]).square().sum(1)
        low = float(square.mean() - 3 * square.std() / math.sqrt(count))
        assert low <= math.exp(2 * bound.log_roots[n - 1]) * (1 + 1e-6) + 1e-12
        square = noise[n - 1].square().sum(1)
        low = float(square.mean() - 3 * square.std() / math.sqrt(count))
        assert low <= math.exp(bound.log_c_sig) * (1 + 1e-6) + 1e-12
    row = bounds_of(problem)["C_sig, switching"]
    assert row.sharp_log10 is not None
    assert math.isclose(row.sharp_log10 * math.log(10), bound.log_c_sig, rel_tol=1e-9, abs_tol=1e-9)


def test_w2_of_samples_is_within_the_bound_and_below_the_papers_draw() -> None:
    """Theorem 8, over x_1 ~ N(0, I): where steps are fine the bound is below that of `iid`, and so is the distance."""
    data = random_discrete(SCHEDULES["vp-linear"], dimension=2, count=6, experts=3, radius=0.15, seed=3)
    problem = BoundProblem(schedule=data.schedule, R=data.R, D=2, K=3, delta=0.2, steps=100)
    noise = torch.randn(256, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    times = torch.linspace(1.0, 0.2, 101, dtype=torch.float64)
    made = sampled(data, Switching(), noise, times)[0][-1]
    ends = flow(data, noise, times[::10])[-1]
    table = bounds_of(problem)
    reduced, drawn = table["W_2 sampling, switching"], table["W_2 sampling"]
    assert reduced.sharp_log10 is not None
    assert drawn.sharp_log10 is not None
    assert reduced.paper_log10 is not None
    assert drawn.paper_log10 is not None
    assert 0.0 < wasserstein_2(made.numpy(), ends.numpy()) <= 10**reduced.sharp_log10
    assert reduced.sharp_log10 < drawn.sharp_log10
    assert reduced.paper_log10 <= drawn.paper_log10


def test_bounds_over_the_starting_points_are_near_those_at_their_usual_norm() -> None:
    """Above the mean of the bounds at drawn norms, since between quantiles the larger one counts; not far above."""
    problem = BoundProblem(schedule=SCHEDULES["vp-cosine"], R=0.3, D=3, K=3, delta=0.3, steps=50)
    steps = steps_of(problem)
    norms = torch.randn(40, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).norm(dim=1)
    at = [evolve(problem, norm_x1=float(norm)) for norm in norms]
    squares = torch.tensor([math.exp(2 * reduced_variance(one, steps_of(one)).log_roots[-1]) for one in at])
    over = math.exp(2 * reduced_variance(problem, steps).log_roots[-1])
    assert float(squares.mean() - 2 * squares.std() / 40**0.5) <= over
    assert over <= 2 * float(squares.mean())


@pytest.mark.parametrize("guess", [True, False])
def test_the_noise_of_all_steps_together_falls_with_the_power_3_2_at_least(*, guess: bool) -> None:
    """As its bound does; and the error with it is that of the mixture's Euler, of order 1."""
    data = random_discrete(SCHEDULES["vp-cosine"], dimension=2, count=12, experts=4, radius=1.0, seed=1)
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    sizes = []
    for N in (40, 160):
        _, noise = sampled(data, Switching(), x, torch.linspace(1.0, 0.2, N + 1, dtype=torch.float64), guess=guess)
        sizes.append(float((0.8 / N * torch.stack(noise).sum(0)).square().sum(1).mean().sqrt()))
    assert math.log(sizes[0] / sizes[1]) / math.log(4.0) > 1.4


def test_the_noise_bound_falls_with_the_square_of_the_step() -> None:
    """So its sum over steps, of mean zero, with the power 3/2 of h, where that of the paper's draw has 1/2."""
    problem = BoundProblem(schedule=SCHEDULES["vp-cosine"], R=0.1, D=2, K=3, delta=0.3, steps=400, norm_x1=1.0)
    finer = evolve(problem, steps=1600)
    one, other = (reduced_variance(p, steps_of(p)) for p in (problem, finer))
    assert math.isclose((one.log_c_sig - other.log_c_sig) / math.log(4.0), 2.0, abs_tol=0.1)
