"""Error statistics of many samples (E.3), power laws error = c N^slope with intervals, and where networks take over.

The RMS and the mean square are ruled by the few samples that end in another basin of attraction than the reference;
the median is not. Equally good methods can differ tenfold in the RMS, so both are always given.

Samples are the same at every step count, so a resample takes whole columns: scipy's ``bootstrap`` with ``paired`` would
call the fit once for each of a thousand resamples, where this makes all fits in one product.
"""

from __future__ import annotations

import math
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
    if quantity == "median":
        return np.asarray(np.median(d, axis=-1))
    mean_square = np.asarray((d**2).mean(axis=-1))
    return np.sqrt(mean_square) if quantity == "rms" else mean_square


def statistics(d: np.ndarray) -> ErrorStatistics:
    """All four statistics of distances (n,)."""
    rms, median, mean_square = (float(quantity_of(name, d)) for name in ("rms", "median", "mean_square"))
    return ErrorStatistics(rms=rms, median=median, mean_square=mean_square, p90=float(np.quantile(d, 0.9)))


RESAMPLES = 1000
"""Bootstrap resamples; the ends of a 95% interval are then accurate to about 2% of its width."""
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

    ``slope``: negative where the error falls. ``low``, ``high``: a 95% percentile interval, by bootstrap over samples.
    ``r2``: the part of the variance of log error that the line explains; None through two points, which a
    line always explains. ``range``: smallest and largest N. ``flattens``: the last two step counts fall at less than
    half the slope. ``at_floor``: the N at which the error is within three times the reference's own.
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
        floor: distances of the reference from a looser one, (n,), to set its error apart from the method's.
        seed: of the resampling.

    Returns:
        The fit; None where there are fewer than two step counts, or an error of zero, which has no logarithm.
    """
    errors = quantity_of(quantity, d)
    if len(steps) < 2 or not bool((errors > 0).all()):
        return None
    log_n, log_error = np.log(np.asarray(steps, dtype=np.float64)), np.log(errors)
    slope, last = float(_slopes(log_n, log_error)), float(_slopes(log_n[-2:], log_error[-2:]))
    low, high = _interval(log_n, d, quantity, seed)
    own = 0.0
    if floor is not None:
        own = (ABOVE_FLOOR**2 if quantity == "mean_square" else ABOVE_FLOOR) * float(quantity_of(quantity, floor))
    return PowerLaw(
        slope=slope,
        low=low,
        high=high,
        r2=_explained(log_n, log_error, slope) if len(steps) > 2 else None,
        range=(steps[0], steps[-1]),
        flattens=len(steps) > 2 and last > FLAT * slope,
        at_floor=tuple(n for n, error in zip(steps, errors, strict=True) if error < own),
    )


def _slopes(log_n: np.ndarray, log_error: np.ndarray) -> np.ndarray:
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
            found.append(_slopes(log_n, np.log(quantity_of(quantity, d[:, again])).T))
    resampled = np.concatenate(found)
    tail = 50.0 * (1.0 - LEVEL)
    # Resamples that hold nothing but exact samples have no slope.
    low, high = np.percentile(resampled[np.isfinite(resampled)], [tail, 100.0 - tail])
    return float(low), float(high)


NOTHING = 1e-9
"""A network part below this part of the method's is rounding."""
STEADY = 0.25
"""A network part that changes by more than this between the last two step counts is no floor yet."""
FAR = 100.0
"""How many times the largest N measured a power law is extrapolated."""


@frozen(kw_only=True)
class Takeover:
    """``step_count``: N from which on the networks' part exceeds the method's; None where it cannot be computed.
    ``slope``: of the method's part, with its 95% interval. ``reading``: the same in words, or why there is no N."""

    step_count: float | None
    slope: float | None
    low: float | None
    high: float | None
    reading: str


def takeover(steps: Sequence[int], method: np.ndarray, network: np.ndarray, seed: int = 0) -> Takeover:
    """Where the networks' part of the error takes over from the method's, both norms of what is added over all steps,
    (len(steps), n), of n trajectories, at rising step counts.

    Besides drift, which acts on every error alike, a step adds a part of the method (truncation and selection), which
    falls with N, and one of the networks, whose sum over all steps does not. A power law is fitted to the former and
    followed to where it meets the latter.
    """
    law = power_law(steps, method, "rms", seed=seed)
    n, reading = _crossing(steps, quantity_of("rms", method), quantity_of("rms", network), law)
    slope, low, high = (None, None, None) if law is None else (law.slope, law.low, law.high)
    return Takeover(step_count=n, slope=slope, low=low, high=high, reading=reading)


def _crossing(
    steps: Sequence[int], errors: np.ndarray, floors: np.ndarray, law: PowerLaw | None
) -> tuple[float | None, str]:
    floor = float(floors[-1])
    if floor <= NOTHING * float(errors.max()):
        return None, "never: the networks add nothing, so more steps always help"
    if law is None:
        return None, "unknown: one step count has no slope"
    if abs(float(floors[-1] / floors[-2]) - 1.0) > STEADY:
        return None, "unknown: the network part itself still changes with N"
    if law.high >= 0:
        return None, "unknown: the method's part does not fall for sure over these step counts"
    log_n, log_error = np.log(np.asarray(steps, dtype=np.float64)), np.log(errors)
    exponent = log_n.mean() + (log_error.mean() - math.log(floor)) / -law.slope
    if exponent > math.log(FAR * steps[-1]):
        return None, f"unknown: not before N = {FAR * steps[-1]:.0f}, too far beyond what was measured"
    n = math.exp(exponent)
    if n < steps[0]:
        return n, f"before N = {steps[0]}: the networks already add more than the method"
    where = "within" if n <= steps[-1] else "beyond"
    return n, f"about N = {n:.0f}, {where} what was measured; from there on more steps will not help"
