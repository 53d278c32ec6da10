"""Exact Wasserstein-2 against closed forms and against the assignment problem."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from mixvel_core.field.transport import wasserstein_2
from mixvel_metrics.wasserstein import Wasserstein2


def cloud(count: int, dimension: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, dimension))


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 10**6))
def test_shifted_copy_is_as_far_as_the_shift(count: int, dimension: int, seed: int) -> None:
    x, shift = cloud(count, dimension, seed), cloud(1, dimension, seed + 1)
    order = np.random.default_rng(seed).permutation(count)
    assert wasserstein_2(x, x[order] + shift) == pytest.approx(float(np.linalg.norm(shift)), rel=1e-12)


@settings(deadline=None, max_examples=10)
@given(st.integers(2, 60), st.integers(0, 10**6))
def test_agrees_with_the_assignment_problem(count: int, seed: int) -> None:
    x, y = cloud(count, 3, seed), 0.5 * cloud(count, 3, seed + 1)
    costs = cdist(x, y, "sqeuclidean")
    best = costs[linear_sum_assignment(costs)].mean()
    assert wasserstein_2(x, y) == pytest.approx(float(np.sqrt(best)), rel=1e-12)


def test_unequal_sizes_are_those_of_repeated_points() -> None:
    x, y = cloud(4, 2, 0), cloud(6, 2, 1)
    assert wasserstein_2(x, y) == pytest.approx(
        wasserstein_2(np.repeat(x, 3, axis=0), np.repeat(y, 2, axis=0)), rel=1e-12
    )


def test_distance_from_one_point_is_the_root_mean_square() -> None:
    x = cloud(30, 4, 0)
    assert wasserstein_2(x, np.zeros((1, 4))) == pytest.approx(float(np.sqrt((x**2).sum(axis=1).mean())), rel=1e-12)


def test_gaussians_within_sampling_error() -> None:
    root_p, root_q = np.diag([1.0, 0.5]), np.array([[1.5, 0.4], [0.4, 0.8]])
    shift = np.array([3.0, -1.0])
    x, y = cloud(1500, 2, 2) @ root_p, cloud(1500, 2, 3) @ root_q + shift
    S_p, S_q = root_p @ root_p, root_q @ root_q
    exact = float(np.sqrt(shift @ shift + np.trace(S_p + S_q - 2 * sqrtm(root_p @ S_q @ root_p).real)))
    assert wasserstein_2(x, y) == pytest.approx(exact, rel=0.03)


def test_far_from_the_origin_nothing_is_lost() -> None:
    x = cloud(50, 3, 0)
    moved = x + 1e6
    # The shift itself rounds x to about 1e-10.
    assert wasserstein_2(moved, moved[::-1] + 1e-3) == pytest.approx(1e-3 * np.sqrt(3), rel=1e-6)


def test_the_first_items_are_compared_and_the_score_says_so() -> None:
    x, y = cloud(9, 2, 0).astype(np.float32), cloud(5, 2, 1).astype(np.float32)
    score = Wasserstein2(max_count=6).score(x, y)
    assert score.value == Wasserstein2().score(x[:6], y).value
    assert score.conditions == {"samples": "the first 6", "reference": "5", "shape": "2", "features": "pixels"}
    assert Wasserstein2().score(x, y).conditions["samples"] == "9"
