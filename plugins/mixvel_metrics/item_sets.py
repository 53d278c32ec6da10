"""The two sets of items a metric compares: what they must be, and how a score states them."""

from __future__ import annotations

import math

import numpy as np

from mixvel_core.errors import DataError, SamplingError
from mixvel_core.protocols.items import Items

BLOCK = 1 << 22
"""Values looked at together."""


def check_sets(metric: str, samples: Items, reference: Items, least: int = 1) -> None:
    """Refuses two sets that have no distance.

    Args:
        metric: its name, for messages.
        samples: (n, *data).
        reference: (m, *data).
        least: the smallest n and m that will do.

    Raises:
        SamplingError: samples that are not finite.
        DataError: too few items, shapes that differ, or reference items that are not finite.
    """
    if samples.shape[1:] != reference.shape[1:]:
        raise DataError(
            f"metric {metric}: samples have shape {samples.shape[1:]} and the reference {reference.shape[1:]}; "
            "compare with data of the samples' own shape"
        )
    for name, items in (("samples", samples), ("reference items", reference)):
        if len(items) < least:
            raise DataError(f"metric {metric}: {len(items)} {name}; at least {least} are needed")
    if bad := _not_finite(samples):
        raise SamplingError(
            f"metric {metric}: {bad} of {len(samples)} samples hold NaN or infinity; look for the method that made them"
        )
    if bad := _not_finite(reference):
        raise DataError(
            f"metric {metric}: {bad} of {len(reference)} reference items hold NaN or infinity; mend the data"
        )


def flat(items: Items) -> np.ndarray:
    """Items as vectors, all of them in memory: (n, D), float64."""
    return items[:].reshape(len(items), -1).astype(np.float64)


def conditions(samples: Items, reference: Items, features: str) -> dict[str, str]:
    """What every score states: both counts, the shape of an item, and the space it was measured in."""
    return {
        "samples": str(len(samples)),
        "reference": str(len(reference)),
        "shape": "x".join(str(side) for side in samples.shape[1:]),
        "features": features,
    }


def _not_finite(items: Items) -> int:
    rows = max(1, BLOCK // max(1, math.prod(items.shape[1:])))
    blocks = (items[start : start + rows] for start in range(0, len(items), rows))
    return sum(int((~np.isfinite(block.reshape(len(block), -1)).all(axis=1)).sum()) for block in blocks)
