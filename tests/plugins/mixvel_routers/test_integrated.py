"""Integrating the exact rate along exact trajectories gives the posterior, at the order of the steps; the simplex."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchdiffeq import odeint

from mixvel_core.field.conversions import at_time, velocity
from mixvel_core.field.posterior import PosteriorEngine, widened
from mixvel_core.protocols import SchedulePoint
from mixvel_routers.integrated import IntegratedRouter, to_simplex
from mixvel_schedules.schedules import Cosine

SCHEDULE, WIDTH, DELTA = Cosine(), 0.4, 0.05


def engine() -> PosteriorEngine:
    rng = np.random.default_rng(0)
    return PosteriorEngine(
        shards=[torch.from_numpy(rng.normal(c, 0.3, (n, 2))) for c, n in ((-1, 5), (0.3, 9), (1, 6))]
    )


ENGINE = engine()
PI = (5 / 20, 9 / 20, 6 / 20)


def point(t: float, count: int) -> SchedulePoint:
    return widened(SCHEDULE.at(torch.full((count,), t, dtype=torch.float64)), WIDTH)


def rate(x: Tensor, t: Tensor) -> Tensor:
    return ENGINE.at(x, widened(SCHEDULE.at(t.double()), WIDTH)).rate()


def path(times: list[float], count: int = 40) -> Tensor:
    """The flow of the data set, each item a Gaussian of some width so that it is smooth, at the times."""
    x = torch.randn(count, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def field(t: Tensor, x: Tensor) -> Tensor:
        return velocity(ENGINE.at(x, point(float(t), len(x))).m, x, widened(at_time(SCHEDULE, float(t)), WIDTH))

    points: Tensor = odeint(field, x, torch.tensor(times, dtype=torch.float64), rtol=1e-9, atol=1e-9, method="dopri5")
    return points


def integrate(steps: int, calls: int) -> float:
    """The error of a at the end; ``calls`` at each time, as samplers of one and of two stages make them."""
    times = torch.linspace(1.0, DELTA, steps + 1, dtype=torch.float64).tolist()
    points = path(times)
    router = IntegratedRouter(rate=rate, fractions=PI)
    state = router.start(points[0], points.new_full((40,), 1.0))
    a = points.new_zeros(40, 3)
    for x, t in zip(points, times, strict=True):
        for _ in range(1 if t == 1.0 else calls):
            a, state = router.weights(x, points.new_full((40,), t), state)
        assert (a >= 0).all()
        torch.testing.assert_close(a.sum(1), torch.ones(40, dtype=torch.float64))
    return float((a - ENGINE.at(points[-1], point(DELTA, 40)).a).norm(dim=1).mean())


@pytest.mark.parametrize(("calls", "order"), [(1, 1), (2, 2)])
def test_the_order_is_that_of_euler_and_of_heun(calls: int, order: int) -> None:
    steps = [40, 80, 160]
    errors = [integrate(n, calls) for n in steps]
    assert -np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(order, abs=0.2)
    assert errors[-1] < 0.01


def test_calls_at_one_time_replace_each_other_by_the_rule_of_heun() -> None:
    slopes = {1.0: [1.0, -1.0], 0.8: [3.0, -3.0], 0.7: [0.5, -0.5]}

    def known(x: Tensor, t: Tensor) -> Tensor:
        return torch.tensor([slopes[round(float(time), 3)] for time in t], dtype=torch.float64)

    router = IntegratedRouter(rate=known, fractions=(0.6, 0.4))
    x = torch.zeros(1, 2, dtype=torch.float64)
    times = [torch.tensor([t], dtype=torch.float64) for t in (1.0, 0.8, 0.8, 0.7)]
    state, seen = router.start(x, times[0]), []
    for t in times:
        a, state = router.weights(x, t, state)
        seen.append(float(a[0, 0]))
    assert seen == pytest.approx([0.6, 0.6 - 0.2 * 1.0, 0.6 - 0.2 * 2.0, 0.2 - 0.1 * 3.0 + 0.1])


def test_rows_keep_their_own_times() -> None:
    router = IntegratedRouter(rate=rate, fractions=PI)
    x = torch.randn(2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    plans = torch.tensor([[1.0, 1.0], [0.9, 0.8], [0.9, 0.6], [0.7, 0.6]], dtype=torch.float64)
    together = router.start(x, plans[0])
    apart = [router.start(x[i : i + 1], plans[0, i : i + 1]) for i in range(2)]
    for t in plans:
        a, together = router.weights(x, t, together)
        for i in range(2):
            one, apart[i] = router.weights(x[i : i + 1], t[i : i + 1], apart[i])
            torch.testing.assert_close(a[i : i + 1], one)


@st.composite
def rows(draw: st.DrawFn) -> Tensor:
    count, size = draw(st.integers(1, 4)), draw(st.integers(1, 7))
    numbers = st.floats(-10, 10, allow_nan=False)
    return torch.tensor(
        draw(st.lists(st.lists(numbers, min_size=size, max_size=size), min_size=count, max_size=count)),
        dtype=torch.float64,
    )


@settings(deadline=None, max_examples=60)
@given(v=rows())
def test_the_projection_is_on_the_simplex_and_stays_there(v: Tensor) -> None:
    a = to_simplex(v)
    assert (a >= 0).all()
    torch.testing.assert_close(a.sum(1), torch.ones(len(v), dtype=torch.float64))
    torch.testing.assert_close(to_simplex(a), a, rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(v=rows(), seed=st.integers(0, 999))
def test_no_other_point_is_nearer(v: Tensor, seed: int) -> None:
    """The nearest point p of a convex set is the one with (v - p).(q - p) <= 0 for every q of it."""
    a = to_simplex(v)
    corners = torch.eye(v.shape[1], dtype=torch.float64)
    inner = ((v - a)[:, None] * (corners - a[:, None])).sum(-1)
    assert float(inner.max()) < 1e-9


def test_known_projections() -> None:
    v = torch.tensor([[0.5, 0.5, 0.0], [2.0, 0.0, 0.0], [0.6, 0.6, -1.0], [1.0, 1.0, 1.0]], dtype=torch.float64)
    wanted = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [1 / 3] * 3], dtype=torch.float64)
    torch.testing.assert_close(to_simplex(v), wanted)
