"""Feature spaces: named maps from items to vectors, in which items are compared."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

import numpy as np
from attrs import frozen

from mixvel_core.protocols.items import Items
from mixvel_metrics.item_sets import flat
from mixvel_metrics.random_conv import RandomConv

FeatureName: TypeAlias = Literal["pixels", "random-conv"]

BLOCK = 256
"""Items whose features are computed together."""


class FeatureSpace(Protocol):
    """A fixed map of items to vectors: not fitted to anything, so that it is the same for every score."""

    @property
    def name(self) -> str:
        """A short name, which scores carry."""
        ...

    @property
    def dimension(self) -> int:
        """D."""
        ...

    @property
    def description(self) -> str:
        """The name of the space, with all it takes to rebuild it."""
        ...

    def of(self, items: np.ndarray) -> np.ndarray:
        """The features of items (n, *data), (n, D) float64. Rows are independent of each other."""
        ...


@frozen(kw_only=True)
class Pixels:
    """The values of an item themselves."""

    dimension: int

    @property
    def name(self) -> str:
        """Its name."""
        return "pixels"

    @property
    def description(self) -> str:
        """Its name."""
        return "pixels"

    def of(self, items: np.ndarray) -> np.ndarray:
        """The items, flattened."""
        return flat(items)


def feature_space(name: FeatureName, shape: tuple[int, ...]) -> FeatureSpace:
    """The space called ``name`` for items of ``shape``.

    Raises:
        DataError: the space is for images only, and ``shape`` is not that of one.
    """
    if name == "random-conv":
        return RandomConv.for_shape(shape)
    return Pixels(dimension=int(np.prod(shape)))


def features_of(space: FeatureSpace, items: Items) -> np.ndarray:
    """All features of items (n, *data), a block at a time: (n, D) float32, half the memory of what ``of`` gives."""
    out = np.empty((len(items), space.dimension), np.float32)
    for start in range(0, len(items), BLOCK):
        out[start : start + BLOCK] = space.of(items[start : start + BLOCK])
    return out
