"""Clusters of points by scikit-learn: Lloyd's algorithm where points fit in memory, mini-batches of them where not."""

from __future__ import annotations

import numpy as np

from mixvel_data.points import Points, blocks, shuffled, size_of

_PASSES = 3
"""How often mini-batches go over all points."""


def clusters(points: Points, number: int, restarts: int, state: int, memory: int) -> np.ndarray:
    """The cluster of each point, (n,) int64; of ``restarts`` the one with the smallest sum of squares."""
    from sklearn.cluster import KMeans

    if size_of(points) <= memory:
        found = KMeans(n_clusters=number, n_init=restarts, random_state=state).fit_predict(points[:])
        assignment: np.ndarray = found.astype(np.int64)
        return assignment
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
