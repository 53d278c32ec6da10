"""Points to cluster: pixels, principal components, or the features of a network; in memory only as far as they fit."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Protocol

import numpy as np
from attrs import frozen

from mixvel_core.field.scale import to_float
from mixvel_core.protocols import Items


class Points(Protocol):
    """(n, D) float32, read where indexed. Arrays are points."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, D)."""
        ...

    def __getitem__(self, rows: np.ndarray | slice, /) -> np.ndarray:
        """Some points."""
        ...


@frozen(kw_only=True, eq=False)
class Pixels:
    """The values of items, in [-1, 1]."""

    items: Items

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, D)."""
        return len(self.items), int(np.prod(self.items.shape[1:]))

    def __getitem__(self, rows: np.ndarray | slice, /) -> np.ndarray:
        found = self.items[rows]
        return to_float(found).reshape(len(found), -1)


def size_of(points: Points) -> int:
    """Bytes that all points take."""
    return 4 * points.shape[0] * points.shape[1]


def blocks(points: Points, size: int, fewest: int) -> list[slice]:
    """Consecutive blocks of about ``size`` bytes, nearly equal, of at least ``fewest`` points (or all of them)."""
    count, width = points.shape
    rows = max(fewest, size // (4 * width), 1)
    number = max(1, count // rows)
    ends = [count * b // number for b in range(number + 1)]
    return [slice(a, b) for a, b in pairwise(ends)]


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
