"""Feature spaces: named maps from items to vectors, in which items are compared."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

import numpy as np
from attrs import frozen

from mixvel_metrics.item_sets import flat
from mixvel_metrics.random_conv import RandomConv

FeatureName: TypeAlias = Literal["pixels", "random-conv"]


class FeatureSpace(Protocol):
    """A fixed map of items to vectors: not fitted to anything, so that it is the same for every score."""

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
