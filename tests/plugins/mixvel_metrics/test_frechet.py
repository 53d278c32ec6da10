"""The Frechet distance and the running moments under it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from mixvel_metrics.comparison import Frechet
from mixvel_metrics.statistics import Gaussian, fit_blocks, squared_frechet


def random_gaussian(dimension: int, seed: int) -> Gaussian:
    random = np.random.default_rng(seed)
    factor = random.standard_normal((dimension, 2 * dimension))
    return Gaussian(mean=random.standard_normal(dimension), covariance=factor @ factor.T / dimension)


def by_sqrtm(p: Gaussian, q: Gaussian) -> float:
    root = sqrtm(p.covariance @ q.covariance).real
    return float(((p.mean - q.mean) ** 2).sum() + np.trace(p.covariance + q.covariance - 2 * root))


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 20), st.integers(0, 10**6))
def test_agrees_with_the_matrix_root(dimension: int, seed: int) -> None:
    p, q = random_gaussian(dimension, seed), random_gaussian(dimension, seed + 1)
    assert squared_frechet(p, q) == pytest.approx(by_sqrtm(p, q), rel=1e-8, abs=1e-8)
    assert squared_frechet(q, p) == pytest.approx(squared_frechet(p, q), rel=1e-10)


def test_points_on_two_lines() -> None:
    # Degenerate Gaussians on orthogonal lines: nothing overlaps, so the traces add up.
    p = Gaussian(mean=np.zeros(2), covariance=np.diag([4.0, 0.0]))
    q = Gaussian(mean=np.zeros(2), covariance=np.diag([0.0, 9.0]))
    assert squared_frechet(p, q) == 13.0


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(0, 10**6))
def test_moments_in_blocks_are_those_of_the_whole(sizes: list[int], seed: int) -> None:
    sizes = [*sizes, 2]
    x = 100 + np.random.default_rng(seed).standard_normal((sum(sizes), 3))
    found = fit_blocks(np.split(x, np.cumsum(sizes)[:-1]), 3)
    np.testing.assert_allclose(found.mean, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(x.T), rtol=1e-9, atol=1e-12)


def test_moments_far_from_zero_do_not_cancel() -> None:
    x = np.random.default_rng(0).standard_normal((1000, 2))
    found = fit_blocks(np.split(x + 1e7, 10), 2)
    np.testing.assert_allclose(found.covariance, np.cov(x.T), rtol=1e-6, atol=1e-6)


def test_a_shift_counts_squared() -> None:
    x = np.random.default_rng(0).standard_normal((50, 4))
    score = Frechet().score(x, x + np.array([3.0, 0, 4.0, 0]))
    assert score.value == pytest.approx(25.0, rel=1e-10)
    assert score.name == "frechet-pixels"
    assert score.conditions["quantity"] == "squared distance"


def test_sets_scored_after_others_have_the_scores_they_have_first() -> None:
    random = np.random.default_rng(0)
    reference, *sets = (random.standard_normal((n, 5)).astype(np.float32) for n in (40, 12, 15))
    metric = Frechet(features="pixels", further=("kernel", "precision", "recall"))
    together = metric.against(reference)
    assert [together.scores(x) for x in sets] == [metric.against(reference).scores(x) for x in sets]
    assert together.scores(sets[0]) == metric.against(reference).scores(sets[0])
