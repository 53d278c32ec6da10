"""Error statistics: what is said of the distances ||x_N - x*|| of many samples (E.3).

The RMS and the mean square are ruled by the few samples that end in another basin of attraction than the reference;
the median is not. Equally good methods can differ tenfold in the RMS, so both are always told.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np
from attrs import frozen

Quantity: TypeAlias = Literal["median", "rms", "mean_square"]
"""What a power law is fitted to. The paper's E.3 fits the mean square, whose slope is twice that of the RMS."""
QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)


@frozen(kw_only=True)
class ErrorStatistics:
    """Of distances d: sqrt(mean d^2), median d, mean d^2 and the 90th percentile of d."""

    rms: float
    median: float
    mean_square: float
    p90: float


def distances(x: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """||x_N - x*|| of each sample, (n,) float64, from arrays (n, *data)."""
    apart = x.astype(np.float64) - reference.astype(np.float64)
    return np.asarray(np.linalg.norm(apart.reshape(len(apart), -1), axis=1))


def quantity_of(quantity: Quantity, d: np.ndarray) -> np.ndarray:
    """One quantity of the distances along the last axis, (..., n) -> (...)."""
    match quantity:
        case "median":
            return np.asarray(np.median(d, axis=-1))
        case "rms":
            return np.asarray(np.sqrt((d**2).mean(axis=-1)))
        case "mean_square":
            return np.asarray((d**2).mean(axis=-1))


def statistics(d: np.ndarray) -> ErrorStatistics:
    """All four of distances (n,)."""
    return ErrorStatistics(
        rms=float(quantity_of("rms", d)),
        median=float(quantity_of("median", d)),
        mean_square=float(quantity_of("mean_square", d)),
        p90=float(np.quantile(d, 0.9)),
    )
