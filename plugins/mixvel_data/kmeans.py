"""Partition by k-means: points (pixels, principal components, features of a network), clusters, and shards of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from attrs import frozen

from mixvel_core.errors import DataError
from mixvel_core.field.scale import to_float
from mixvel_core.protocols import Data, Items
from mixvel_core.randomness import key
from mixvel_data.hooks import KMeansOptions


@frozen(kw_only=True, eq=False)
class PixelPoints:
    """The values of items, in [-1, 1]."""

    items: Items

    @property
    def shape(self) -> tuple[int, ...]:
        """The number n of points and their dimension D."""
        return len(self.items), int(np.prod(self.items.shape[1:]))

    def __getitem__(self, rows: np.ndarray | slice, /) -> np.ndarray:
        found = self.items[rows]
        return to_float(found).reshape(len(found), -1)


Points: TypeAlias = np.ndarray | PixelPoints
"""(n, D) float32, read where indexed."""


def size_of(points: Points) -> int:
    """The bytes of all points, 4 for each number."""
    return 4 * points.shape[0] * points.shape[1]


def blocks(points: Points, size: int, fewest: int) -> list[slice]:
    """Consecutive blocks of about ``size`` bytes, nearly equal, of at least ``fewest`` points (or all of them)."""
    count, width = points.shape
    number = max(1, count // max(fewest, size // (4 * width), 1))
    return [slice(a, b) for a, b in pairwise(count * b // number for b in range(number + 1))]


def shuffled(points: Points, size: int, fewest: int, state: int) -> Iterator[np.ndarray]:
    """All points once, in blocks of random ones: neighbours in a data set are often of one class."""
    order = np.random.default_rng(state).permutation(points.shape[0])
    for block in blocks(points, size, fewest):
        yield points[np.sort(order[block])]


def components(points: Points, number: int, state: int, memory: int) -> np.ndarray:
    """The first ``number`` principal components, (n, number): exact where points take at most ``memory`` bytes, else
    by scikit-learn's IncrementalPCA, block after block."""
    from sklearn.decomposition import PCA, IncrementalPCA

    if size_of(points) <= memory:
        found: np.ndarray = PCA(n_components=number, random_state=state).fit_transform(points[:])
        return found
    pca = IncrementalPCA(n_components=number)
    for block in shuffled(points, memory // 4, number, state):
        pca.partial_fit(block)
    parts = [pca.transform(points[block]).astype(np.float32) for block in blocks(points, memory // 4, 1)]
    return np.concatenate(parts)


_PASSES = 3
"""How often mini-batches go over all points."""


def clusters(points: Points, number: int, restarts: int, state: int, memory: int) -> np.ndarray:
    """The cluster of each point, (n,) int64; of ``restarts`` the one with the smallest sum of squares."""
    from sklearn.cluster import KMeans

    if size_of(points) <= memory:
        found: np.ndarray = KMeans(n_clusters=number, n_init=restarts, random_state=state).fit_predict(points[:])
        return found.astype(np.int64)
    tries = [_by_batches(points, number, (state + r) % 2**32, memory) for r in range(restarts)]
    return min(tries, key=lambda one: one[1])[0]


def _by_batches(points: Points, number: int, state: int, memory: int) -> tuple[np.ndarray, float]:
    """The cluster of each point and the sum of squares."""
    from sklearn.cluster import MiniBatchKMeans

    model = MiniBatchKMeans(n_clusters=number, n_init=1, random_state=state)
    for turn in range(_PASSES):
        for block in shuffled(points, memory // 4, number, state + turn):
            model.partial_fit(block)
    assignment = np.empty(points.shape[0], np.int64)
    total = 0.0
    for part in blocks(points, memory // 4, 1):
        block = points[part]
        assignment[part] = model.predict(block)
        total += float(((block - model.cluster_centers_[assignment[part]]) ** 2).sum(dtype=np.float64))
    return assignment, total


@frozen(kw_only=True)
class KMeansPartitioner(KMeansOptions):
    """The clusters of scikit-learn's k-means; in mini-batches where points take more than ``memory`` bytes."""

    memory: int = 1 << 28

    def assign(self, data: Data, seed: int) -> np.ndarray:
        """The cluster of each item, (n,) int64: the same for the same items and seed, however many cores there are.

        Raises DataError for more shards or components than the items can give, or a network that cannot be had.
        """
        count = len(data.items)
        if self.shards > count:
            raise DataError(f"partition kmeans: {self.shards} shards of {count} items; ask for {count} shards at most")
        assignment = self._clusters(self._points(data.items), key(seed, "kmeans") % 2**32)
        empty = np.flatnonzero(np.bincount(assignment, minlength=self.shards) == 0)
        if len(empty):
            raise DataError(
                f"partition kmeans: shard {empty[0]} is empty, there are fewer different items than shards; "
                f"ask for {self.shards - len(empty)} shards at most"
            )
        return assignment

    def _points(self, items: Items) -> Points:
        if self.features == "pixels":
            return PixelPoints(items=items)
        # torch takes seconds to import: only where data are split.
        from mixvel_data.features import extractor

        return extractor(self.features, self.weights).features(items)

    def _clusters(self, points: Points, state: int) -> np.ndarray:
        # Two seconds of import: only where data are split, not where a recipe is checked.
        from sklearn.exceptions import ConvergenceWarning
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # publishes no types

        if self.pca is not None and self.pca > min(points.shape):
            raise DataError(
                f"partition kmeans: {self.pca} components of {points.shape[0]} items with {points.shape[1]} values "
                f"each; ask for a `pca` of {min(points.shape)} at most"
            )
        # One thread, because threads add up in the order in which they finish.
        with threadpool_limits(limits=1), warnings.catch_warnings():
            # Fewer different items than clusters: found again as an empty shard, and refused.
            warnings.simplefilter("ignore", ConvergenceWarning)
            if self.pca is not None:
                points = components(points, self.pca, state, self.memory)
            return clusters(points, self.shards, self.restarts, state, self.memory)
