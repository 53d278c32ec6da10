"""Bounds of whole trajectories, held against trajectories: iid and sum-up with Euler, exact and wrong networks."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from attrs import evolve, frozen
from discrete import Discrete, random_discrete, velocity_of
from exact import all_schedules
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mixvel_core.field.transport import wasserstein_2
from mixvel_core.theory.growth import trajectory_paper, trajectory_sharp
from mixvel_core.theory.lipschitz import expansion_integral
from mixvel_core.theory.mean_square import debt_bound, log_errors_sum_up, log_root_sharp, steps_of
from mixvel_core.theory.problem import BoundProblem
from mixvel_core.theory.table import bounds_of, log_mismatch_sharp

SCHEDULES = all_schedules()


@frozen(kw_only=True)
class Wrong:
    """Networks that are off by eps_r in a fixed direction each, and a router moved by eps_c towards one expert."""

    eps_r: float
    eps_c: float

    def a(self, data: Discrete, x: Tensor, t: Tensor) -> Tensor:
        """On the simplex and nowhere further than eps_c from the truth: the last expert gains what others lose."""
        a = data.a(x, t)
        taken = a[:, :-1].clamp_max(self.eps_c / max(data.K - 1, 1))
        return torch.cat([a[:, :-1] - taken, a[:, -1:] + taken.sum(1, keepdim=True)], dim=1)

    def m_k(self, data: Discrete, x: Tensor, t: Tensor) -> Tensor:
        D = x.shape[1]
        direction = torch.ones(D, dtype=torch.float64) / math.sqrt(D)
        return data.m_k(x, t) + self.eps_r * direction


def flow(data: Discrete, x: Tensor, times: Tensor, inside: int) -> list[Tensor]:
    """The exact flow at the given times, by RK4 with ``inside`` steps between each two."""
    out = [x]
    for high, low in pairwise(times):
        h = (low - high) / inside
        for i in range(inside):
            t = high + i * h
            k1 = data.v(x, t)
            k2 = data.v(x + 0.5 * h * k1, t + 0.5 * h)
            k3 = data.v(x + 0.5 * h * k2, t + 0.5 * h)
            k4 = data.v(x + h * k3, t + h)
            x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        out.append(x)
    return out


def sampled(data: Discrete, x: Tensor, times: Tensor, wrong: Wrong, *, drawn: bool, seed: int = 0) -> list[Tensor]:
    """Euler with one expert a step, drawn (iid) or in turns (sum-up)."""
    generator = torch.Generator().manual_seed(seed)
    owed, out = torch.zeros(len(x), data.K, dtype=torch.float64), [x]
    for t, s in pairwise(times):
        a, m_k = wrong.a(data, x, t), wrong.m_k(data, x, t)
        if drawn:
            k = torch.multinomial(a, 1, generator=generator)[:, 0]
        else:
            owed = owed + a
            k = owed.argmax(1)
            owed[torch.arange(len(x)), k] -= 1
            assert float(owed.abs().sum(1).max()) <= debt_bound(data.K) + 1e-9
        x = x + (s - t) * velocity_of(data.schedule.at(t), x, m_k[torch.arange(len(x)), k])
        out.append(x)
    return out


def setting(
    name: str, *, R: float, K: int, D: int, N: int, delta: float, seed: int, wrong: Wrong
) -> tuple[Discrete, BoundProblem]:
    data = random_discrete(SCHEDULES[name], dimension=D, count=2 * K, experts=K, radius=R, seed=seed)
    problem = BoundProblem(
        schedule=data.schedule, R=data.R, D=D, K=K, delta=delta, steps=N, eps_r=wrong.eps_r, eps_c=wrong.eps_c
    )
    return data, problem


SETTINGS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(sorted(SCHEDULES)),
        "R": st.floats(0.05, 1.0),
        "K": st.integers(1, 4),
        "D": st.integers(1, 4),
        "N": st.integers(2, 24),
        "delta": st.floats(0.15, 0.6),
        "seed": st.integers(0, 1000),
        "wrong": st.one_of(
            st.just(Wrong(eps_r=0.0, eps_c=0.0)),
            st.builds(Wrong, eps_r=st.floats(0.0, 0.3), eps_c=st.floats(0.0, 0.3)),
        ),
    }
)


@settings(deadline=None, max_examples=25)
@given(SETTINGS, st.floats(0.0, 3.0))
def test_mean_square_of_drawn_experts_and_every_trajectory_of_sum_up(chosen: dict[str, object], size: float) -> None:
    """Theorem 6 from one starting point at every step; and its like for sum-up, which holds without a mean."""
    data, problem = setting(**chosen)  # type: ignore[arg-type]  # hypothesis knows no TypedDict
    problem = evolve(problem, norm_x1=size)
    wrong = Wrong(eps_r=problem.eps_r, eps_c=problem.eps_c)
    count = 400
    start = torch.full((count, problem.D), size / math.sqrt(problem.D), dtype=torch.float64)
    times = torch.linspace(1.0, problem.delta, problem.steps + 1, dtype=torch.float64)
    truth = flow(data, start[:1], times, 8)
    steps = steps_of(problem)
    roots, drawn = log_root_sharp(steps), sampled(data, start, times, wrong, drawn=True)
    turns, certain = log_errors_sum_up(problem, steps), sampled(data, start[:1], times, wrong, drawn=False)
    for n in range(1, problem.steps + 1):
        square = (drawn[n] - truth[n]).square().sum(1)
        # The mean of 400 trajectories, less three standard errors: the bound is on the mean itself.
        low = float(square.mean() - 3 * square.std() / math.sqrt(count))
        assert low <= math.exp(2 * roots[n - 1]) * (1 + 1e-6) + 1e-12
        assert float((certain[n] - truth[n]).norm()) <= math.exp(turns[n - 1]) * (1 + 1e-6) + 1e-9
        # Where the data lie R from 0 the flow stays inside Theorem 4's ball.
        reach = trajectory_sharp(data.schedule, times[n], size, problem.R)
        assert float(truth[n].norm()) <= float(reach) * (1 + 1e-6)
        assert reach <= trajectory_paper(data.schedule, times[n], size, problem.R)
    row = bounds_of(problem)["E norm(e_N)^2"]
    assert row.sharp_log10 is not None
    assert row.paper_log10 is None or row.sharp_log10 <= row.paper_log10


@pytest.mark.parametrize("name", ["vp-cosine", "vp-linear", "rectified"])
def test_w2_of_samples_is_within_the_bound(name: str) -> None:
    """Theorem 8 and the total: exact W_2 between 256 samples and the exact flow's, and the data's own points."""
    data, problem = setting(name, R=0.5, K=3, D=2, N=400, delta=0.2, seed=3, wrong=Wrong(eps_r=0.02, eps_c=0.02))
    noise = torch.randn(256, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    times = torch.linspace(1.0, problem.delta, problem.steps + 1, dtype=torch.float64)
    made = sampled(data, noise, times, Wrong(eps_r=0.02, eps_c=0.02), drawn=True)[-1]
    exact = flow(data, noise, times[[0, -1]], 400)[-1]
    table = bounds_of(problem)
    sampling, total = (table[row] for row in ("W_2 sampling", "W_2 total"))
    assert sampling.sharp_log10 is not None
    assert total.sharp_log10 is not None
    between = wasserstein_2(made.numpy(), exact.numpy())
    assert 0.0 < between <= 10**sampling.sharp_log10
    copies = torch.multinomial(data.weights, 256, replacement=True, generator=torch.Generator().manual_seed(2))
    assert between < wasserstein_2(made.numpy(), data.points[copies].numpy()) <= 10**total.sharp_log10


def test_distances_between_trajectories_grow_no_faster_than_said() -> None:
    """The closed form of what the flow does to a mismatch of the start; two points attain it in the limit."""
    for name in ("vp-cosine", "vp-linear", "rectified"):
        schedule = SCHEDULES[name]
        data = random_discrete(schedule, dimension=1, count=2, experts=2, radius=0.8, seed=0)
        two = evolve(
            data,
            points=torch.tensor([[0.8], [-0.8]], dtype=torch.float64),
            weights=torch.full((2,), 0.5, dtype=torch.float64),
        )
        times = torch.tensor([1.0, 0.2], dtype=torch.float64)
        near = torch.tensor([[1e-6], [-1e-6], [0.3], [-2.0]], dtype=torch.float64)
        ends = flow(two, near, times, 300)[-1]
        growth = math.exp(expansion_integral(schedule, 0.2, 0.8))
        apart = torch.cdist(ends, ends) / torch.cdist(near, near).clamp_min(1e-12)
        assert float(apart.max()) <= growth * (1 + 1e-6), name
        # Between the two points the covariance is R^2 all the way down.
        assert math.isclose(float(apart[0, 1]), growth, rel_tol=1e-3), name


def test_a_start_of_another_law_is_carried_to_the_end_within_the_bound() -> None:
    """The prior mismatch of vp-linear, sampled: x_1 and N(0, I) coupled by their noise."""
    schedule = SCHEDULES["vp-linear"]
    data = random_discrete(schedule, dimension=2, count=4, experts=2, radius=0.8, seed=5)
    problem = BoundProblem(schedule=schedule, R=0.8, D=2, K=2, delta=0.1, steps=10)
    generator = torch.Generator().manual_seed(0)
    eps = torch.randn(500, 2, generator=generator, dtype=torch.float64)
    items = data.points[torch.multinomial(data.weights, 500, replacement=True, generator=generator)]
    p = schedule.at(torch.ones((), dtype=torch.float64))
    ends = flow(
        data, torch.cat([p.alpha * items + p.sigma * eps, eps]), torch.tensor([1.0, 0.1], dtype=torch.float64), 400
    )[-1]
    apart = float((ends[:500] - ends[500:]).square().sum(1).mean().sqrt())
    assert 0.0 < apart <= math.exp(log_mismatch_sharp(problem))


def test_theorem_4_without_sigma_1_fails_where_alpha_does_not_reach_zero() -> None:
    """A single data point and a start 500 radii away: sigma_t norm(x_1) + alpha_t R is exceeded, ours is attained."""
    schedule, R, size = SCHEDULES["vp-linear"], 0.01, 5.0
    one = Discrete(
        schedule=schedule,
        points=torch.tensor([[R]], dtype=torch.float64),
        weights=torch.ones(1, dtype=torch.float64),
        shard=torch.zeros(1, dtype=torch.int64),
    )
    times = torch.tensor([1.0, 0.5], dtype=torch.float64)
    end = float(flow(one, torch.tensor([[size]], dtype=torch.float64), times, 400)[-1])
    p = schedule.at(times[-1])
    assert end > float(p.sigma * size + p.alpha * R) * (1 + 1e-6)
    assert math.isclose(end, float(trajectory_sharp(schedule, times[-1], size, R)), rel_tol=1e-8)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_bounds_fall_with_the_number_of_steps(name: str) -> None:
    """Drawn experts: the root of h. The mixture and sum-up: h."""
    problem = BoundProblem(schedule=SCHEDULES[name], R=0.4, D=2, K=3, delta=0.3, steps=400)
    finer = evolve(problem, steps=1600)
    drawn, whole, turns = (
        first - second
        for first, second in (
            (log_root_sharp(steps_of(problem))[-1], log_root_sharp(steps_of(finer))[-1]),
            (log_root_sharp(steps_of(problem), random=False)[-1], log_root_sharp(steps_of(finer), random=False)[-1]),
            (log_errors_sum_up(problem, steps_of(problem))[-1], log_errors_sum_up(finer, steps_of(finer))[-1]),
        )
    )
    assert math.isclose(drawn / math.log(4.0), 0.5, abs_tol=0.06)
    assert math.isclose(whole / math.log(4.0), 1.0, abs_tol=0.06)
    assert math.isclose(turns / math.log(4.0), 1.0, abs_tol=0.1)
