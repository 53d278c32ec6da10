"""Sliced Wasserstein-2 against the exact one, where they are known to agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixvel_core.field.transport import directions, sliced_squares, wasserstein_2
from mixvel_metrics.wasserstein import SlicedWasserstein2


def cloud(count: int, dimension: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, dimension))


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 10**6))
def test_one_dimension_is_exact_for_all_sizes(n: int, m: int, seed: int) -> None:
    x, y = cloud(n, 1, seed), 2 * cloud(m, 1, seed + 1) + 1
    score = SlicedWasserstein2(projections=3).score(x, y)
    assert score.value == pytest.approx(wasserstein_2(x, y), rel=1e-10)


def test_along_an_axis_it_is_the_distance_of_the_coordinates() -> None:
    x, y = cloud(7, 3, 0), cloud(4, 3, 1)
    together = sliced_squares(x, y, np.eye(3))
    for p in range(3):
        assert together[p] == pytest.approx(wasserstein_2(x[:, p : p + 1], y[:, p : p + 1]) ** 2, rel=1e-12)


def test_shift_is_seen_by_each_direction_as_its_share() -> None:
    x, shift = cloud(40, 6, 0), cloud(1, 6, 1)
    u = directions(6, 50, seed=9)
    expected = float(np.sqrt(((u @ shift[0]) ** 2).mean()))
    assert SlicedWasserstein2(projections=50, seed=9).score(x, x + shift).value == pytest.approx(expected, rel=1e-10)


def test_directions_are_even_on_the_sphere() -> None:
    u = directions(4, 20_000)
    np.testing.assert_allclose(np.linalg.norm(u, axis=1), 1, rtol=1e-12)
    # The standard error is 0.0035 for means and 0.0018 for second moments.
    np.testing.assert_allclose(u.mean(axis=0), 0, atol=0.015)
    np.testing.assert_allclose(u.T @ u / len(u), np.eye(4) / 4, atol=0.009)


def test_more_directions_keep_the_first_ones() -> None:
    np.testing.assert_array_equal(directions(5, 10, 1), directions(5, 30, 1)[:10])
    assert (directions(5, 10, 1) != directions(5, 10, 2)).all()


def test_many_directions_stay_below_the_exact_distance() -> None:
    x, y = cloud(60, 5, 0), cloud(60, 5, 1) * 1.5
    sliced = SlicedWasserstein2(projections=4000).score(x, y).value
    assert 0 < sliced <= wasserstein_2(x, y) / np.sqrt(5)


def test_conditions_name_the_directions() -> None:
    score = SlicedWasserstein2(projections=8, seed=4).score(np.zeros((3, 1, 2, 2)), np.ones((2, 1, 2, 2)))
    assert score.conditions == {
        "samples": "3",
        "reference": "2",
        "shape": "1x2x2",
        "features": "pixels",
        "projections": "8 (seed 4)",
    }
