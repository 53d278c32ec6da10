"""Partition by k-means."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # publishes no types

from mixvel_core.errors import DataError
from mixvel_core.protocols import Data
from mixvel_data.kmeans import KMeansPartitioner
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


def test_scale_of_bytes_does_not_matter() -> None:
    stored = np.random.default_rng(0).integers(0, 256, (60, 1, 4, 4), dtype=np.uint8)
    floats = stored.astype(np.float32) / np.float32(127.5) - np.float32(1)
    partitioner = KMeansPartitioner(shards=3)
    np.testing.assert_array_equal(
        partitioner.assign(Data(items=stored), seed=0), partitioner.assign(Data(items=floats), seed=0)
    )


def test_the_seed_decides_and_nothing_else() -> None:
    data = Digits().load()
    partitioner = KMeansPartitioner(shards=7, pca=10, restarts=1)
    first = partitioner.assign(data, seed=-5)
    with threadpool_limits(limits=2):
        np.testing.assert_array_equal(partitioner.assign(data, seed=-5), first)
    assert (partitioner.assign(data, seed=6) != first).any()


def test_as_many_shards_as_items() -> None:
    data, _ = clumps(count=3, size=1, seed=0)
    assert sorted(KMeansPartitioner(shards=3).assign(data, seed=0).tolist()) == [0, 1, 2]
    assert KMeansPartitioner(shards=1).assign(data, seed=0).tolist() == [0, 0, 0]


def test_more_shards_than_items() -> None:
    data, _ = clumps(count=2, size=2, seed=0)
    with pytest.raises(DataError, match="5 shards of 4 items; ask for 4"):
        KMeansPartitioner(shards=5).assign(data, seed=0)


def test_fewer_different_items_than_shards() -> None:
    items = np.repeat(np.array([[0.0], [1.0]], dtype=np.float32), 5, axis=0)
    with pytest.raises(DataError, match=r"shard 2 is empty.*ask for 2 shards"):
        KMeansPartitioner(shards=3).assign(Data(items=items), seed=0)


def test_more_components_than_there_are() -> None:
    data, _ = clumps(count=2, size=3, seed=0)
    with pytest.raises(DataError, match="ask for a `pca` of 6 at most"):
        KMeansPartitioner(shards=2, pca=7).assign(data, seed=0)
