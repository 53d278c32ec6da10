"""Partition by k-means: shards of items that look alike, for data without labels."""

from __future__ import annotations

import warnings

import numpy as np
from attrs import frozen

from mixvel_core.errors import DataError
from mixvel_core.field.scale import to_float
from mixvel_core.protocols import Data
from mixvel_core.randomness import key


@frozen(kw_only=True)
class KMeansPartitioner:
    """The clusters of scikit-learn's KMeans on flattened items.

    ``shards``: K. ``pca``: cluster by so many principal components, or by all values. ``restarts``: the number
    of starts, of which the one with the smallest sum of squares is kept.
    """

    shards: int
    pca: int | None = None
    restarts: int = 4

    def assign(self, data: Data, seed: int) -> np.ndarray:
        """The cluster of each item, (n,) int64: the same for the same items and seed, however many cores there are.

        Raises:
            DataError: more shards or components than the items can give.
        """
        count = len(data.items)
        if self.shards > count:
            raise DataError(f"partition kmeans: {self.shards} shards of {count} items; ask for {count} shards at most")
        points = to_float(data.items[:]).reshape(count, -1)
        if self.pca is not None and self.pca > min(points.shape):
            raise DataError(
                f"partition kmeans: {self.pca} components of {count} items with {points.shape[1]} values each; "
                f"ask for a `pca` of {min(points.shape)} at most"
            )
        assignment = self._clusters(points, key(seed, "kmeans") % 2**32)
        empty = np.flatnonzero(np.bincount(assignment, minlength=self.shards) == 0)
        if len(empty):
            raise DataError(
                f"partition kmeans: shard {empty[0]} is empty, there are fewer different items than shards; "
                f"ask for {self.shards - len(empty)} shards at most"
            )
        return assignment

    def _clusters(self, points: np.ndarray, state: int) -> np.ndarray:
        # Two seconds of import: paid when the data are split, not when a recipe is checked.
        from sklearn.cluster import KMeans
        from sklearn.decomposition import PCA
        from sklearn.exceptions import ConvergenceWarning
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # publishes no types

        # One thread, because threads add up in the order in which they finish.
        with threadpool_limits(limits=1), warnings.catch_warnings():
            # Fewer different items than clusters: found again as an empty shard, and refused.
            warnings.simplefilter("ignore", ConvergenceWarning)
            if self.pca is not None:
                points = PCA(n_components=self.pca, random_state=state).fit_transform(points)
            clusters = KMeans(n_clusters=self.shards, n_init=self.restarts, random_state=state)
            assignment: np.ndarray = clusters.fit_predict(points).astype(np.int64)
        return assignment
