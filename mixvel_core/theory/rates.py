"""Rates: the six numbers of a schedule from which every bound is made, and C1, C2 of Assumption 3.

Any Gaussian path has v = r x + rho m with r = sigma'/sigma and rho = alpha' - alpha r (V1). Bounds need absolute values
only, and grow with each of them: an upper bound of each rate over an interval gives an upper bound of the bound. That
is interval arithmetic, and it is what makes suprema over time proofs instead of samples.
"""

from __future__ import annotations

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.protocols import BoundedSchedule, NoiseSchedule, Suprema

CELLS = 1024
"""Intervals that [delta, 1] is cut into; suprema are exact in the limit and true upper bounds for any number."""

_INSIDE, _MARGIN = 17, 1.02
"""For a schedule that proves nothing: points looked at in each interval, and what their maximum is multiplied by."""


@frozen(kw_only=True, eq=False)
class Rates:
    """Absolute values at times, or upper bounds over intervals; every field float64 of one shape.

    ``alpha``, ``sigma`` (a **lower** bound over intervals), ``d_alpha``, ``dd_alpha``, ``d_sigma``, ``dd_sigma``.
    """

    alpha: Tensor
    sigma: Tensor
    d_alpha: Tensor
    dd_alpha: Tensor
    d_sigma: Tensor
    dd_sigma: Tensor

    @property
    def r(self) -> Tensor:
        """abs(sigma'/sigma); VP: alpha c."""
        return self.d_sigma / self.sigma

    @property
    def c(self) -> Tensor:
        """abs(rho) = abs(alpha' - alpha sigma'/sigma); VP: abs(alpha')/sigma^2."""
        return self.d_alpha + self.alpha * self.r

    @property
    def d_r(self) -> Tensor:
        """abs(r'), from r' = sigma''/sigma - r^2."""
        return self.dd_sigma / self.sigma + self.r**2

    @property
    def d_c(self) -> Tensor:
        """abs(rho'), from rho' = alpha'' - alpha' r - alpha r'; VP: abs(alpha'')/sigma^2 + 2 alpha alpha'^2/sigma^4."""
        return self.dd_alpha + self.d_alpha * self.r + self.alpha * self.d_r


def rates_at(schedule: NoiseSchedule, t: Tensor) -> Rates:
    """The rates at times t in (0, 1], float64, any shape."""
    t = t.double()
    p = schedule.at(t)
    dd_sigma = suprema(schedule, t, t).dd_sigma
    if dd_sigma is None:
        # sigma sigma' = -alpha alpha', once more differentiated.
        dd_sigma = (p.d_alpha**2 / p.sigma**3 + p.alpha * p.dd_alpha / p.sigma).abs()
    return Rates(
        alpha=p.alpha,
        sigma=p.sigma,
        d_alpha=p.d_alpha.abs(),
        dd_alpha=p.dd_alpha.abs(),
        d_sigma=p.d_sigma.abs(),
        dd_sigma=dd_sigma,
    )


def rates_over(schedule: NoiseSchedule, low: Tensor, high: Tensor) -> Rates:
    """Upper bounds over the intervals [low, high] in (0, 1], low <= high, float64; alpha falls and sigma rises."""
    low, high = low.double(), high.double()
    p, known = schedule.at(low), suprema(schedule, low, high)
    d_sigma, dd_sigma = known.d_sigma, known.dd_sigma
    if d_sigma is None or dd_sigma is None:
        d_sigma = p.alpha * known.d_alpha / p.sigma
        dd_sigma = known.d_alpha**2 / p.sigma**3 + p.alpha * known.dd_alpha / p.sigma
    d_alpha, dd_alpha = known.d_alpha, known.dd_alpha
    return Rates(alpha=p.alpha, sigma=p.sigma, d_alpha=d_alpha, dd_alpha=dd_alpha, d_sigma=d_sigma, dd_sigma=dd_sigma)


def cells(delta: float, count: int = CELLS) -> Tensor:
    """count + 1 times from delta to 1 in equal ratios: the bounds change fastest near the data."""
    u = torch.linspace(0.0, 1.0, count + 1, dtype=torch.float64)
    times = delta ** (1.0 - u)
    times[0], times[-1] = delta, 1.0
    return times


def rates_everywhere(schedule: NoiseSchedule, delta: float, count: int = CELLS) -> Rates:
    """Upper bounds over ``count`` intervals that cover [delta, 1]: the largest of a bound there bounds its supremum."""
    times = cells(delta, count)
    return rates_over(schedule, times[:-1], times[1:])


def suprema(schedule: NoiseSchedule, low: Tensor, high: Tensor) -> Suprema:
    """Upper bounds of the derivatives on [low, high]: proven where the schedule has ``suprema``, else estimated."""
    if isinstance(schedule, BoundedSchedule):
        return schedule.suprema(low, high)
    return _estimated(schedule, low, high)


def _estimated(schedule: NoiseSchedule, low: Tensor, high: Tensor) -> Suprema:
    """The largest of a few values inside, and a little more; sigma'' from differences of sigma'."""
    wide = torch.maximum(high, low + 1e-6).clamp_max(1.0)
    start = torch.minimum(low, wide - 1e-6)
    u = torch.linspace(0.0, 1.0, _INSIDE, dtype=torch.float64)
    t = start[..., None] + (wide - start)[..., None] * u
    p = schedule.at(t)
    slope = p.d_sigma.diff(dim=-1) / t.diff(dim=-1)
    largest = [value.abs().amax(-1) * _MARGIN for value in (p.d_alpha, p.dd_alpha, p.d_sigma, slope)]
    return Suprema(d_alpha=largest[0], dd_alpha=largest[1], d_sigma=largest[2], dd_sigma=largest[3])


@frozen(kw_only=True)
class ScheduleConstants:
    """Assumption 3: ``C1`` >= sup abs(alpha'), ``C2`` >= sup abs(alpha'') on [0, 1]."""

    C1: float
    C2: float


def schedule_constants(schedule: NoiseSchedule) -> ScheduleConstants:
    """C1 and C2: the largest of the proven bounds over the intervals of a partition.

    Exact for vp-linear, vp-cosine and the rectified path, which attain them in closed form; for a beta table above the
    truth by the little that a spline changes inside an interval.
    """
    times = torch.linspace(0.0, 1.0, CELLS + 1, dtype=torch.float64)
    known = suprema(schedule, times[:-1], times[1:])
    return ScheduleConstants(C1=float(known.d_alpha.amax()), C2=float(known.dd_alpha.amax()))
