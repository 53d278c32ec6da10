"""Error statistics of many samples (E.3), and power laws error = c N^slope with intervals of the slope.

The RMS and the mean square are ruled by the few samples that end in another basin of attraction than the reference;
the median is not. Equally good methods can differ tenfold in the RMS, so both are always told.
"""

from __future__ import annotations

from collections.abc import Sequence
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


RESAMPLES = 1000
"""Bootstrap resamples; the ends of a 95% interval are then known to about 2% of its width."""
LEVEL = 0.95
FLAT = 0.5
"""A curve flattens if its last two step counts fall at less than this part of its whole slope."""
ABOVE_FLOOR = 3.0
"""Errors below this many times the reference's own may be the reference's."""

_AT_ONCE = 1 << 22
"""Numbers resampled at once, which bounds the memory."""


@frozen(kw_only=True)
class PowerLaw:
    """The least-squares line through (log N, log error).

    ``slope``: negative where the error falls. ``low``, ``high``: a 95% percentile interval, by bootstrap over samples,
    which are the same at every step count. ``r2``: the part of the variance of log error that the line explains; None
    through two points, where it says nothing. ``range``: smallest and largest N. ``flattens``: the last two step counts
    fall at less than half the slope. ``at_floor``: the N at which the error is within three times the reference's own.
    """

    slope: float
    low: float
    high: float
    r2: float | None
    range: tuple[int, int]
    flattens: bool
    at_floor: tuple[int, ...]


def power_law(
    steps: Sequence[int], d: np.ndarray, quantity: Quantity, floor: np.ndarray | None = None, seed: int = 0
) -> PowerLaw | None:
    """The power law of one quantity of the distances.

    Args:
        steps: step counts N, strictly increasing.
        d: the distances of the same n samples at each of them, (len(steps), n).
        quantity: of the distances; slopes of the mean square are twice those of the RMS.
        floor: distances of the reference from a looser one, (n,), to tell its error from the method's.
        seed: of the resampling.

    Returns:
        The fit; None where there are fewer than two step counts, or an error of zero, which has no logarithm.
    """
    errors = quantity_of(quantity, d)
    if len(steps) < 2 or not bool((errors > 0).all()):
        return None
    log_n, log_error = np.log(np.asarray(steps, dtype=np.float64)), np.log(errors)
    slope = float(slopes(log_n, log_error))
    low, high = _interval(log_n, d, quantity, seed)
    last = float(slopes(log_n[-2:], log_error[-2:]))
    return PowerLaw(
        slope=slope,
        low=low,
        high=high,
        r2=_explained(log_n, log_error, slope) if len(steps) > 2 else None,
        range=(steps[0], steps[-1]),
        flattens=len(steps) > 2 and last > FLAT * slope,
        at_floor=tuple(n for n, error in zip(steps, errors, strict=True) if _is_at_floor(error, quantity, floor)),
    )


def slopes(log_n: np.ndarray, log_error: np.ndarray) -> np.ndarray:
    """Least-squares slopes of log errors (..., S) over log N (S,), (...)."""
    centred = log_n - log_n.mean()
    return np.asarray(log_error @ centred / (centred @ centred))


def _explained(log_n: np.ndarray, log_error: np.ndarray, slope: float) -> float:
    around = log_error - log_error.mean()
    left = around - slope * (log_n - log_n.mean())
    total = float(around @ around)
    return 1.0 - float(left @ left) / total if total > 0 else 0.0


def _interval(log_n: np.ndarray, d: np.ndarray, quantity: Quantity, seed: int) -> tuple[float, float]:
    """Percentiles of the slope over samples drawn again with replacement, together for all step counts."""
    rng = np.random.default_rng(seed)
    size = max(1, _AT_ONCE // d.size)
    found = []
    for first in range(0, RESAMPLES, size):
        again = rng.integers(d.shape[1], size=(min(size, RESAMPLES - first), d.shape[1]))
        with np.errstate(divide="ignore", invalid="ignore"):
            found.append(slopes(log_n, np.log(quantity_of(quantity, d[:, again])).T))
    drawn = np.concatenate(found)
    tail = 50.0 * (1.0 - LEVEL)
    # Resamples that hold nothing but exact samples have no slope.
    low, high = np.percentile(drawn[np.isfinite(drawn)], [tail, 100.0 - tail])
    return float(low), float(high)


def _is_at_floor(error: float, quantity: Quantity, floor: np.ndarray | None) -> bool:
    if floor is None:
        return False
    factor = ABOVE_FLOOR**2 if quantity == "mean_square" else ABOVE_FLOOR
    return bool(error < factor * float(quantity_of(quantity, floor)))
