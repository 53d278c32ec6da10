"""Statistics of known distances, and power laws of known errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixvel_core.analysis.convergence import QUANTITIES, Quantity, distances, power_law, statistics, takeover

STEPS = (10, 20, 40, 80)


def test_statistics_of_known_distances() -> None:
    found = statistics(np.array([3.0, 1.0, 2.0, 4.0, 0.0]))
    assert found.median == 2.0
    assert found.mean_square == 6.0
    assert found.rms == pytest.approx(6.0**0.5, rel=1e-15)
    # Between the fourth and the fifth of five, at 3.6 of the way from 0 to 4.
    assert found.p90 == pytest.approx(3.6, rel=1e-15)


def test_distances_are_taken_over_all_coordinates_in_float64() -> None:
    x = np.zeros((2, 3, 2, 2), dtype=np.float32)
    y = x.copy()
    y[1] = 2.0
    y[0, 0, 0, 0] = 1e-6
    assert distances(x, y) == pytest.approx([1e-6, 2.0 * 12**0.5], rel=1e-7)


def exact_law(slope: float, steps: tuple[int, ...] = STEPS, count: int = 30) -> np.ndarray:
    """Distances of samples that all follow c_i N^slope, (S, n)."""
    c = np.random.default_rng(1).uniform(0.5, 2.0, count)
    return np.array([[n**slope] for n in steps]) * c


@given(slope=st.floats(-4.0, -0.1), quantity=st.sampled_from(QUANTITIES))
@settings(deadline=None, max_examples=25)
def test_an_exact_power_law_is_found_exactly(slope: float, quantity: Quantity) -> None:
    law = power_law(STEPS, exact_law(slope), quantity)
    assert law is not None
    wanted = 2 * slope if quantity == "mean_square" else slope
    assert (law.slope, law.low, law.high) == pytest.approx((wanted, wanted, wanted), rel=1e-9)
    assert law.r2 == pytest.approx(1.0, abs=1e-9)
    assert law.range == (10, 80)
    assert not law.flattens
    assert law.at_floor == ()


def test_the_interval_covers_the_slope_as_often_as_it_says() -> None:
    """Lognormal noise, independent for every sample and step count, leaves the true slope of the median at -1."""
    covered, widths = 0, []
    for trial in range(60):
        rng = np.random.default_rng([7, trial])
        d = exact_law(-1.0, count=80) * rng.lognormal(0.0, 0.5, (len(STEPS), 80))
        law = power_law(STEPS, d, "median")
        assert law is not None
        assert law.low < law.slope < law.high
        covered += law.low <= -1.0 <= law.high
        widths.append(law.high - law.low)
    # 95% of 60 are 57; fewer than 50 would not be by chance, and wide intervals would cover anything.
    assert covered >= 50
    assert max(widths) < 0.5


def test_more_samples_make_the_interval_narrower_and_the_same_seed_the_same() -> None:
    def width(count: int, seed: int = 0) -> tuple[float, float]:
        noise = np.random.default_rng(3).lognormal(0.0, 0.5, (len(STEPS), count))
        law = power_law(STEPS, exact_law(-1.0, count=count) * noise, "rms", seed=seed)
        assert law is not None
        return law.low, law.high

    few, many = width(40), width(4000)
    assert many[1] - many[0] < 0.25 * (few[1] - few[0])
    assert width(40) == few
    assert width(40, seed=1) != few


def test_a_curve_that_reaches_a_plateau_flattens_and_a_law_through_it_explains_less() -> None:
    d = np.maximum(exact_law(-2.0), 40.0**-2.0)
    law = power_law(STEPS, d, "median")
    assert law is not None
    assert law.flattens
    assert law.r2 is not None
    assert 0.5 < law.r2 < 0.99


def test_errors_near_the_references_own_are_named() -> None:
    d = np.array([[n**-2.0] * 5 for n in STEPS])
    floor = np.full(5, 80.0**-2.0 / 1.5)
    for quantity in QUANTITIES:
        law = power_law(STEPS, d, quantity, floor)
        assert law is not None
        # Three times the floor is twice the last error, and half the one before.
        assert law.at_floor == (80,)


def test_without_two_errors_above_zero_there_is_no_law() -> None:
    assert power_law((10,), exact_law(-1.0, (10,)), "median") is None
    d = exact_law(-1.0)
    d[2] = 0.0
    assert power_law(STEPS, d, "rms") is None
    two = power_law((10, 20), exact_law(-1.0, (10, 20)), "rms")
    assert two is not None
    assert two.slope == pytest.approx(-1.0)
    assert two.r2 is None


def test_where_the_networks_take_over() -> None:
    rng = np.random.default_rng(0)
    scatter = np.exp(0.05 * rng.standard_normal(40))
    steps = (10, 20, 40)
    method = np.stack([scatter / n for n in steps])

    def said(level: float, method: np.ndarray = method) -> tuple[float | None, str]:
        found = takeover(steps, method, np.full((3, 40), level))
        return found.step_count, found.reading

    for level, n in ((0.01, 100), (0.04, 25)):
        assert said(level)[0] == pytest.approx(n, rel=0.02)
    assert "already" in said(1.0)[1]
    assert said(0.0)[0] is None
    assert "too far" in said(1e-7)[1]
    assert "does not fall" in said(0.01, np.ones((3, 40)) * scatter)[1]
    assert "still changes" in takeover(steps, method, method).reading
    assert "one step count" in takeover((10,), method[:1], np.full((1, 40), 0.1)).reading
