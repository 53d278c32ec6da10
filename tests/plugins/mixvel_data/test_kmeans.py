"""Partition by k-means: of data in memory, of data larger than memory, and of the features of a network."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # publishes no types

from mixvel_core.errors import DataError
from mixvel_core.protocols import Data
from mixvel_data.features import Extractor
from mixvel_data.kmeans import KMeansPartitioner, PixelPoints, blocks, components
from mixvel_data.numpy_source import Digits


def clumps(count: int, size: int, seed: int) -> tuple[Data, np.ndarray]:
    """Images in ``count`` well separated clumps of ``size``, shuffled, and the clump of each."""
    random = np.random.default_rng(seed)
    clump = random.permutation(np.repeat(np.arange(count), size))
    centres = (
        0.2 * np.eye(count, 16, dtype=np.float32).reshape(count, 1, 4, 4) * np.arange(1, count + 1)[:, None, None, None]
    )
    items = centres[clump] + 0.01 * random.standard_normal((count * size, 1, 4, 4))
    return Data(items=items.astype(np.float32)), clump


@pytest.mark.parametrize("pca", [None, 4])
def test_clumps_are_found(pca: int | None) -> None:
    data, clump = clumps(count=4, size=25, seed=1)
    shards = KMeansPartitioner(shards=4, pca=pca).assign(data, seed=3)
    assert shards.shape == (100,)
    assert shards.dtype == np.int64
    assert adjusted_rand_score(clump, shards) == 1.0


def test_the_seed_decides_and_nothing_else() -> None:
    data = Digits().load()
    partitioner = KMeansPartitioner(shards=7, pca=10, restarts=1)
    first = partitioner.assign(data, seed=-5)
    with threadpool_limits(limits=2):
        np.testing.assert_array_equal(partitioner.assign(data, seed=-5), first)
    assert (partitioner.assign(data, seed=6) != first).any()


def test_more_shards_or_components_than_there_are() -> None:
    data, _ = clumps(count=2, size=2, seed=0)
    assert sorted(KMeansPartitioner(shards=4).assign(data, seed=0).tolist()) == [0, 1, 2, 3]
    with pytest.raises(DataError, match="ask for 4 shards"):
        KMeansPartitioner(shards=5).assign(data, seed=0)
    with pytest.raises(DataError, match="a `pca` of 4"):
        KMeansPartitioner(shards=2, pca=7).assign(data, seed=0)


def test_fewer_different_items_than_shards() -> None:
    items = np.repeat(np.array([[0.0], [1.0]], dtype=np.float32), 5, axis=0)
    with pytest.raises(DataError, match=r"shard 2 is empty.*ask for 2 shards"):
        KMeansPartitioner(shards=3).assign(Data(items=items), seed=0)


def many_clumps(seed: int = 0) -> tuple[Data, np.ndarray]:
    random = np.random.default_rng(seed)
    clump = random.integers(0, 4, 2000)
    centres = 0.6 * np.eye(4, 16, dtype=np.float32).reshape(4, 1, 4, 4)
    return Data(items=(centres[clump] + 0.02 * random.standard_normal((2000, 1, 4, 4))).astype(np.float32)), clump


@pytest.mark.parametrize("pca", [None, 3])
def test_mini_batches_find_the_clumps_too(pca: int | None) -> None:
    data, clump = many_clumps()
    made = KMeansPartitioner(shards=4, pca=pca, memory=20_000)
    shards = made.assign(data, seed=1)
    assert adjusted_rand_score(clump, shards) == 1.0
    np.testing.assert_array_equal(made.assign(data, seed=1), shards)


def test_components_by_blocks_span_those_of_the_whole() -> None:
    data, _ = many_clumps()
    points = PixelPoints(items=data.items)
    found = components(points, 3, 0, memory=20_000)
    exact = PCA(n_components=3).fit_transform(points[:])
    np.testing.assert_allclose(np.abs(np.corrcoef(found.T, exact.T)[:3, 3:]), np.eye(3), atol=0.02)


def test_blocks_cover_everything_once() -> None:
    points = np.zeros((103, 5), np.float32)
    for size, fewest in [(1, 1), (400, 1), (1, 50), (10**9, 1)]:
        parts = blocks(points, size, fewest)
        assert np.concatenate([np.arange(103)[part] for part in parts]).tolist() == list(range(103))
        assert min(part.stop - part.start for part in parts) >= min(fewest, 103)


def test_features_are_what_the_network_sees_of_scaled_images() -> None:
    extractor = Extractor(
        network=lambda x: x.mean((2, 3)),
        side=6,
        mean=(0.5, 0.25, 0.0),
        deviation=(0.5, 0.25, 1.0),
        device=torch.device("cpu"),
    )
    levels = np.array([[0, 64, 128], [255, 255, 255]], np.uint8)
    items = np.broadcast_to(levels[:, :, None, None], (2, 3, 9, 9))
    wanted = (levels / 255 - [0.5, 0.25, 0.0]) / [0.5, 0.25, 1.0]
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(extractor.features(items), wanted, atol=1e-5)
    assert extractor.features(items[:, :1]).shape == (2, 3)
    with pytest.raises(DataError, match="are no images; set `features: pixels`"):
        extractor.features(np.zeros((3, 4), np.float32))


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(DataError, match=r"pip install 'mixvel\[features\]'"):
        KMeansPartitioner(shards=2, features="dinov2").assign(many_clumps()[0], 0)
