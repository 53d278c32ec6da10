"""Integrating the exact log-rate along exact trajectories gives the posterior, at the order of the rule; gains."""

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
from mixvel_routers.integrated import LEAST, Gains, IntegratedRouter, RateAnswer, corrected
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


def rate(x: Tensor, t: Tensor) -> RateAnswer:
    answer = ENGINE.at(x, widened(SCHEDULE.at(t.double()), WIDTH))
    return RateAnswer(log_rate=answer.rate() / answer.a, log_a=answer.a.log())


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


@pytest.mark.parametrize("calls", [1, 2])
def test_the_order_is_that_of_the_trapezoid(calls: int) -> None:
    steps = [20, 40, 80]
    errors = [integrate(n, calls) for n in steps]
    assert -np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(2, abs=0.2)
    assert errors[-1] < 1e-3


def test_calls_at_one_time_replace_each_other() -> None:
    slopes = {1.0: [1.0, -1.0], 0.8: [3.0, -3.0], 0.7: [0.5, -0.5]}

    def known(x: Tensor, t: Tensor) -> RateAnswer:
        return RateAnswer(
            log_rate=torch.tensor([slopes[round(float(time), 3)] for time in t], dtype=torch.float64) + float(x[0, 0])
        )

    router = IntegratedRouter(rate=known, fractions=(0.6, 0.4))
    times = [torch.tensor([t], dtype=torch.float64) for t in (1.0, 1.0, 0.8, 0.8, 0.7)]
    state, seen = router.start(torch.zeros(1, 2, dtype=torch.float64), times[0]), []
    for n, t in enumerate(times):
        # What all shards share changes nothing.
        a, state = router.weights(torch.full((1, 2), float(n), dtype=torch.float64), t, state)
        seen.append(float((a[0, 0] / a[0, 1]).log()))
    start = np.log(1.5)
    first = start - 0.2 * (2.0 + 6.0) / 2
    assert seen == pytest.approx([start, start, first, first, first - 0.1 * (6.0 + 1.0) / 2])


def test_a_first_call_after_the_start_takes_the_rate_that_it_finds() -> None:
    def known(x: Tensor, t: Tensor) -> RateAnswer:
        return RateAnswer(log_rate=x.new_tensor([[2.0, 0.0]]))

    router = IntegratedRouter(rate=known, fractions=(0.5, 0.5))
    x = torch.zeros(1, 2)
    a, _ = router.weights(x, torch.tensor([0.5]), router.start(x, torch.ones(1)))
    torch.testing.assert_close(a, torch.tensor([[-1.0, 0.0]]).softmax(1))


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


def logs(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64).log_softmax(1)


@settings(deadline=None, max_examples=40)
@given(g=st.floats(0, 1), n=st.integers(1, 5))
def test_a_gain_goes_as_far_in_any_number_of_steps(g: float, n: int) -> None:
    gains = Gains(values=torch.full((8,), g, dtype=torch.float64), step=0.04)
    t = torch.full((1, 1), 0.5, dtype=torch.float64)
    left = 1.0 - float(gains.at(t, torch.full_like(t, 0.04)))
    assert left == pytest.approx(1.0 - g)
    assert (1.0 - float(gains.at(t, torch.full_like(t, 0.04 / n)))) ** n == pytest.approx(left, abs=1e-12)
    assert float(gains.at(t, torch.zeros_like(t))) == 0.0


def test_each_bucket_of_times_has_its_gain() -> None:
    gains = Gains(values=torch.arange(8, dtype=torch.float64) / 10, step=1.0)
    t = torch.tensor([[0.0], [0.124], [0.126], [0.99], [1.0]], dtype=torch.float64)
    assert gains.at(t, torch.ones_like(t))[:, 0].tolist() == pytest.approx([0.0, 0.0, 0.1, 0.7, 0.7])


def test_no_gain_leaves_a_posterior_alone_and_all_of_it_replaces_it() -> None:
    a, b = logs([0.0, 5.0, -40.0], [1.0, 1.0, 1.0]), logs([3.0, 0.0, 0.0], [0.0, -2.0, 0.0])
    gain = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    found = corrected(a, b, gain)
    torch.testing.assert_close(found, torch.stack([a[0], b[1]]))
    half = corrected(a, b, 0.5 * torch.ones(2, 1, dtype=torch.float64)).exp()
    assert half[0, 2] > 0.1 * LEAST
    torch.testing.assert_close(half.sum(1), torch.ones(2, dtype=torch.float64))


def test_with_gains_of_one_the_posterior_is_the_other_one() -> None:
    points = path([1.0, 0.6, 0.3], 10)

    def wrong(x: Tensor, t: Tensor) -> RateAnswer:
        return RateAnswer(log_rate=5.0 * x.new_tensor([[1.0, -1.0, 0.0]]), log_a=rate(x, t).log_a)

    router = IntegratedRouter(
        rate=wrong, fractions=PI, gains=Gains(values=torch.ones(8, dtype=torch.float64), step=0.1)
    )
    state = router.start(points[0], points.new_ones(10))
    for x, t in zip(points, (1.0, 0.6, 0.3), strict=True):
        a, state = router.weights(x, points.new_full((10,), t), state)
    assert (a - ENGINE.at(points[-1], point(0.3, 10)).a).abs().max() < 5 * LEAST
