"""VP on the quarter circle: alpha = cos(pi t/2), sigma = sin(pi t/2)."""

from __future__ import annotations

import math

from attrs import frozen
from torch import Tensor

from mixvel_core.protocols import SchedulePoint, Suprema

QUARTER = 0.5 * math.pi


@frozen(kw_only=True)
class Cosine:
    """alpha(1) = 0, and every derivative is bounded by (pi/2)^2: the paper's Assumption 3 holds."""

    def at(self, t: Tensor) -> SchedulePoint:
        """Closed forms at t."""
        # cos(pi t/2) as a sine of the time left: exact zero at t = 1 instead of 6e-17.
        alpha, sigma = (QUARTER * (1.0 - t)).sin(), (QUARTER * t).sin()
        return SchedulePoint(
            alpha=alpha,
            sigma=sigma,
            d_alpha=-QUARTER * sigma,
            d_sigma=QUARTER * alpha,
            dd_alpha=-(QUARTER**2) * alpha,
        )

    def suprema(self, low: Tensor, high: Tensor) -> Suprema:
        """Sines of t are largest at the later end, cosines at the earlier one."""
        early, late = self.at(low), self.at(high)
        return Suprema(
            d_alpha=QUARTER * late.sigma,
            dd_alpha=QUARTER**2 * early.alpha,
            d_sigma=QUARTER * early.alpha,
            dd_sigma=QUARTER**2 * late.sigma,
        )

    def time_of(self, angle: Tensor) -> Tensor:
        """The time of atan(sigma/alpha), which is pi t/2."""
        return angle / QUARTER
