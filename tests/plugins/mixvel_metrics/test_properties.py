"""What all metrics of two sets have in common: symmetry, scaling, blindness to order, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixvel_core.errors import DataError, SamplingError
from mixvel_core.protocols import Metric
from mixvel_metrics.comparison import Frechet
from mixvel_metrics.features import check_sets
from mixvel_metrics.wasserstein import SlicedWasserstein2, Wasserstein2

DISTANCES: tuple[Metric, ...] = (Wasserstein2(), SlicedWasserstein2(projections=20), Frechet())
METRICS: tuple[Metric, ...] = (*DISTANCES, Frechet(features="random-conv"))
SHAPE = (1, 4, 4)

metrics = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: str(metric))
sizes = st.integers(2, 20)
seeds = st.integers(0, 10**6)


def images(count: int, seed: int, spread: float = 1.0) -> np.ndarray:
    return (spread * np.random.default_rng(seed).uniform(-1, 1, (count, *SHAPE))).astype(np.float32)


@metrics
@settings(deadline=None, max_examples=8)
@given(n=sizes, m=sizes, seed=seeds)
def test_symmetric_and_positive(metric: Metric, n: int, m: int, seed: int) -> None:
    x, y = images(n, seed), images(m, seed + 1, spread=0.5)
    value = metric.score(x, y).value
    assert value > 0
    assert metric.score(y, x).value == pytest.approx(value, rel=1e-6)
    assert metric.score(x[::-1], y).value == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("metric", DISTANCES, ids=lambda metric: str(metric))
@settings(deadline=None, max_examples=8)
# Powers of two, so that scaling float32 rounds nothing.
@given(exponent=st.integers(-6, 6), seed=seeds)
def test_scaling_both_sets_scales_the_distance(metric: Metric, exponent: int, seed: int) -> None:
    x, y = images(9, seed), images(11, seed + 1)
    factor = 2.0**exponent
    expected = metric.score(x, y).value * (factor**2 if isinstance(metric, Frechet) else factor)
    assert metric.score(x * np.float32(factor), y * np.float32(factor)).value == pytest.approx(expected, rel=1e-6)


@metrics
def test_sets_without_a_distance_are_refused(metric: Metric) -> None:
    x, y = images(5, 0), images(5, 1)
    for samples, reference in ((x, np.zeros((4, 1, 4, 5))), (x[:0], y), (x, y[:0]), (x, np.full_like(y, np.inf))):
        with pytest.raises(DataError):
            metric.score(samples, reference)


def test_items_that_are_not_finite_are_counted_over_all_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixvel_metrics.features.ITEMS_BLOCK", 32)
    x = images(11, 0)
    x[[0, 5, 10], 0, 0, 0] = np.nan
    with pytest.raises(SamplingError, match="3 of 11 samples"):
        check_sets("some", x, images(4, 1))
