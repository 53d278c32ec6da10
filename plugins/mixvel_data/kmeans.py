"""Partition by k-means: shards of items that look alike, for data without labels."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from attrs import frozen

from mixvel_core.errors import DataError
from mixvel_core.protocols import Data, Items
from mixvel_core.randomness import key
from mixvel_data.clusters import clusters
from mixvel_data.points import Pixels, Points, components


@frozen(kw_only=True)
class KMeansPartitioner:
    """The clusters of scikit-learn's k-means.

    ``shards``: K. ``features``: of what: "pixels", "dinov2" or a network of timm, with its published weights or those
    of a file, ``weights``. ``pca``: cluster by so many principal components of these, or by all values. ``restarts``:
    the number of starts, of which the one with the smallest sum of squares is kept. ``memory``: bytes that points may
    take; more of them are clustered in mini-batches.
    """

    shards: int
    pca: int | None = None
    restarts: int = 4
    features: str = "pixels"
    weights: Path | None = None
    memory: int = 1 << 28

    def assign(self, data: Data, seed: int) -> np.ndarray:
        """The cluster of each item, (n,) int64: the same for the same items and seed, however many cores there are.

        Raises:
            DataError: more shards or components than the items can give, or a network that cannot be had.
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
            return Pixels(items=items)
        # torch: paid when the data are split.
        from mixvel_data.features import extractor

        return extractor(self.features, self.weights).features(items)

    def _clusters(self, points: Points, state: int) -> np.ndarray:
        # Two seconds of import: paid when the data are split, not when a recipe is checked.
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
