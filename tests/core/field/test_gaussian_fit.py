"""Gaussians of a shard's items against NumPy's covariance, in blocks of any size; k-means on clouds that are apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gaussian_shards import slanted_shard

from mixvel_core.errors import DataError
from mixvel_core.field import gaussian_fit
from mixvel_core.field.gaussian_fit import FLOOR, check_fit, fit_gaussians
from mixvel_core.testing.problems import MemoryShard


@pytest.mark.parametrize("block", [1, 40, 1 << 22])
def test_principal_components_are_those_of_the_covariance(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaussian_fit, "_BLOCK", block)
    shard = slanted_shard(1)
    found = fit_gaussians(shard, rank=2, components=1)
    items = shard.items[:].astype(np.float64)
    covariance = np.cov(items.T, bias=True)
    values = np.linalg.eigvalsh(covariance)[::-1]
    np.testing.assert_allclose(found.means[0], items.mean(0), atol=1e-12)
    np.testing.assert_allclose(found.variances[0], values[:2], atol=1e-12)
    np.testing.assert_allclose(found.rest[0], values[2:].mean() + FLOOR, atol=1e-12)
    np.testing.assert_allclose(covariance @ found.axes[0].numpy(), found.axes[0].numpy() * values[:2], atol=1e-12)


def test_the_sketch_finds_the_leading_components(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variances that fall like 1/i^2: the sketch is right to a thousandth where they are far apart."""
    rng = np.random.default_rng(0)
    spread = 1.0 / np.arange(1, 61)
    items = (rng.standard_normal((2000, 60)) * spread).astype(np.float32)
    shard = MemoryShard(items=items)
    exact = fit_gaussians(shard, rank=4, components=1)
    monkeypatch.setattr(gaussian_fit, "EXACT", 10)
    found = fit_gaussians(shard, rank=4, components=1)
    np.testing.assert_allclose(found.variances, exact.variances, rtol=1e-3)
    np.testing.assert_allclose(found.rest, exact.rest, rtol=1e-3)
    overlap = (found.axes[0].T @ exact.axes[0]).abs()
    np.testing.assert_allclose(overlap, np.eye(4), atol=0.03)
    np.testing.assert_allclose(found.axes[0].T @ found.axes[0], np.eye(4), atol=1e-10)


def test_no_principal_components_leave_a_variance_of_each_coordinate() -> None:
    shard = slanted_shard(2)
    found = fit_gaussians(shard, rank=0, components=1)
    np.testing.assert_allclose(found.rest[0], shard.items[:].astype(np.float64).var(0) + FLOOR, atol=1e-12)
    assert (found.rank, found.components) == (0, 1)


@pytest.mark.parametrize("block", [7, 1 << 22])
def test_k_means_finds_clouds_that_are_apart(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaussian_fit, "_BLOCK", max(block, 900))
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0, 0.0], [5.0, 0.0, 0.0], [0.0, 5.0, 5.0]])
    home = np.repeat([0, 1, 2], [50, 150, 100])
    items = (centres[home] + 0.1 * rng.standard_normal((300, 3))).astype(np.float32)
    found = fit_gaussians(MemoryShard(items=items[rng.permutation(300)]), rank=0, components=3)
    order = found.weights.argsort()
    np.testing.assert_allclose(found.weights[order], [1 / 6, 1 / 3, 1 / 2], atol=1e-12)
    np.testing.assert_allclose(found.means[order], centres[[0, 2, 1]], atol=0.05)
    np.testing.assert_allclose(found.rest, 0.01 + FLOOR, atol=0.004)


def test_equal_items_leave_components_without_weight() -> None:
    found = fit_gaussians(MemoryShard(items=np.ones((6, 2), np.float32)), rank=0, components=3)
    assert float(found.weights.sum()) == pytest.approx(1.0)
    assert bool(torch.isfinite(found.means).all())
    np.testing.assert_allclose(found.rest, FLOOR)


def test_more_than_the_items_carry_is_refused_before_they_are_read() -> None:
    with pytest.raises(DataError, match="rank 6 is not below the 50 items of shard 0 and their 6 numbers"):
        check_fit(slanted_shard(0), 6, 1, "router moments")
    with pytest.raises(DataError, match="rank 4 is not below the 4 items of shard 2"):
        check_fit(slanted_shard(2, count=4), 4, 1, "router moments")
    with pytest.raises(DataError, match="5 components are more than the 4 items of shard 2"):
        check_fit(slanted_shard(2, count=4), 0, 5, "router moments")
