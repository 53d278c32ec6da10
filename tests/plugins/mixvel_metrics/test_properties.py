"""What all metrics share: zero from itself, symmetry, scaling, blindness to order, and what they refuse."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from attrs import resolve_types
from hypothesis import given, settings
from hypothesis import strategies as st

from mixvel_core.errors import DataError, SamplingError
from mixvel_core.protocols import Metric, Score
from mixvel_metrics.comparison import Frechet
from mixvel_metrics.features import check_sets
from mixvel_metrics.hooks import mixvel_metrics
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
@given(count=sizes, seed=seeds)
def test_zero_from_itself(metric: Metric, count: int, seed: int) -> None:
    x = images(count, seed)
    # Frechet's is a squared distance between fits that agree to rounding.
    assert 0 <= metric.score(x, x.copy()).value <= (1e-12 if isinstance(metric, Frechet) else 0)


@metrics
@settings(deadline=None, max_examples=8)
@given(n=sizes, m=sizes, seed=seeds)
def test_symmetric_and_positive(metric: Metric, n: int, m: int, seed: int) -> None:
    x, y = images(n, seed), images(m, seed + 1, spread=0.5)
    there, back = metric.score(x, y).value, metric.score(y, x).value
    assert there > 0
    assert back == pytest.approx(there, rel=1e-6)


@metrics
def test_the_order_of_items_does_not_matter(metric: Metric) -> None:
    x, y = images(15, 0), images(12, 1)
    assert metric.score(x[::-1], y).value == pytest.approx(metric.score(x, y).value, rel=1e-10)


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
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite(metric: Metric, value: float) -> None:
    x, y = images(5, 0), images(5, 1)
    x[3, 0, 1, 2] = value
    with pytest.raises(SamplingError, match="1 of 5 samples hold NaN or infinity"):
        metric.score(x, y)
    with pytest.raises(DataError, match="1 of 5 reference items hold NaN or infinity"):
        metric.score(y, x)


@metrics
def test_shapes_that_differ(metric: Metric) -> None:
    with pytest.raises(DataError, match=r"samples have shape \(1, 4, 4\) and the reference \(1, 4, 5\)"):
        metric.score(images(4, 0), np.zeros((4, 1, 4, 5)))


@metrics
def test_no_items(metric: Metric) -> None:
    with pytest.raises(DataError, match="0 samples"):
        metric.score(images(0, 0), images(4, 0))
    with pytest.raises(DataError, match="0 reference items"):
        metric.score(images(4, 0), images(0, 0))


def test_a_covariance_takes_two_items() -> None:
    with pytest.raises(DataError, match="1 samples; at least 2 are needed"):
        Frechet().score(images(1, 0), images(4, 0))


def test_items_that_are_not_finite_are_counted_over_all_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mixvel_metrics.features.ITEMS_BLOCK", 32)
    x = images(11, 0)
    x[[0, 5, 10], 0, 0, 0] = np.nan
    with pytest.raises(SamplingError, match="3 of 11 samples"):
        check_sets("some", x, images(4, 1))


def test_definitions_import_nothing_heavy() -> None:
    code = "import sys, mixvel_metrics.hooks; print({'numpy', 'torch', 'ot', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def rgb(count: int, seed: int) -> np.ndarray:
    return np.repeat(images(count, seed), 3, axis=1)


def test_examples_score() -> None:
    definitions = mixvel_metrics()
    assert [definition.name for definition in definitions] == ["w2", "sliced-w2", "frechet", "fid"]
    for definition in definitions:
        resolve_types(definition.options)
        score = definition.example().score(rgb(6, 0), rgb(6, 1))
        assert isinstance(score, Score)
        assert score.value > 0
        assert {"samples", "reference", "shape", "features"} <= set(score.conditions)
