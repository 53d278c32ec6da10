"""The two sets of items that a metric compares, and the feature spaces in which it does."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from attrs import frozen

from mixvel_core.errors import DataError, SamplingError
from mixvel_core.protocols.data import Items
from mixvel_metrics.options import FeatureName
from mixvel_metrics.random_conv import RandomConv

ITEMS_BLOCK = 1 << 22
"""Values looked at together."""


def check_sets(metric: str, samples: Items, reference: Items, least: int = 1) -> None:
    """Refuses two sets, (n, *data) and (m, *data), between which ``metric`` has no value; n, m >= ``least``.

    Raises SamplingError for samples that are not finite; DataError for too few items, shapes that differ, or reference
    items that are not finite.
    """
    if samples.shape[1:] != reference.shape[1:]:
        raise DataError(
            f"metric {metric}: samples have shape {samples.shape[1:]} and the reference {reference.shape[1:]}; "
            "compare with data of the samples' own shape"
        )
    sets = (
        ("samples", samples, SamplingError, "look for the method that made them"),
        ("reference items", reference, DataError, "mend the data"),
    )
    for name, items, _, _ in sets:
        if len(items) < least:
            raise DataError(f"metric {metric}: {len(items)} {name}; at least {least} are needed")
    for name, items, error, remedy in sets:
        if bad := _not_finite(items):
            raise error(f"metric {metric}: {bad} of {len(items)} {name} hold NaN or infinity; {remedy}")


def flat(items: Items) -> np.ndarray:
    """Items as vectors, all of them in memory: (n, D), float64."""
    return items[:].reshape(len(items), -1).astype(np.float64)


def conditions(samples: Items, reference: Items, features: str) -> dict[str, str]:
    """The conditions of every score: both counts, the shape of an item, and the space it was measured in."""
    return {
        "samples": str(len(samples)),
        "reference": str(len(reference)),
        "shape": "x".join(str(side) for side in samples.shape[1:]),
        "features": features,
    }


def _not_finite(items: Items) -> int:
    rows = max(1, ITEMS_BLOCK // max(1, math.prod(items.shape[1:])))
    blocks = (items[start : start + rows] for start in range(0, len(items), rows))
    return sum(int((~np.isfinite(block.reshape(len(block), -1)).all(axis=1)).sum()) for block in blocks)


BLOCK = 256
"""Items whose features are computed together."""


class FeatureSpace(Protocol):
    """A fixed map of items to vectors: not fitted to anything, so that it is the same for every score."""

    @property
    def dimension(self) -> int:
        """D, the length of a feature vector."""

    @property
    def description(self) -> str:
        """The name of the space, with all it takes to rebuild it."""

    def of(self, items: np.ndarray) -> np.ndarray:
        """The features of items (n, *data), (n, D) float64. Rows are independent of each other."""


@frozen(kw_only=True)
class PixelFeatures:
    """The values of an item themselves."""

    dimension: int
    description: str = "pixels"

    def of(self, items: np.ndarray) -> np.ndarray:
        """The items (n, *data) as vectors (n, D), float64."""
        return flat(items)


def feature_space(name: FeatureName, shape: tuple[int, ...]) -> FeatureSpace:
    """The space called ``name`` for items of ``shape``. Raises DataError where it is for images and these are none."""
    if name == "random-conv":
        return RandomConv.for_shape(shape)
    return PixelFeatures(dimension=int(np.prod(shape)))


def features_of(space: FeatureSpace, items: Items) -> np.ndarray:
    """All features of items (n, *data), a block at a time: (n, D) float32, half the memory of what ``of`` gives."""
    out = np.empty((len(items), space.dimension), np.float32)
    for start in range(0, len(items), BLOCK):
        out[start : start + BLOCK] = space.of(items[start : start + BLOCK])
    return out
