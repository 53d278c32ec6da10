"""Noise schedules alpha(t), sigma(t) of x_t = alpha x_0 + sigma eps, t in [0, 1], data at t = 0.

    vp-linear   alpha = exp(-(beta_max - beta_min) t^2 / 4 - beta_min t / 2),   sigma^2 = 1 - alpha^2
    vp-cosine   alpha = cos(pi t / 2),                                          sigma = sin(pi t / 2)
    rectified   alpha = 1 - t,                                                  sigma = t
    ddpm-table  alpha(i/T)^2 = prod_{j <= i} (1 - beta_j),                      sigma^2 = 1 - alpha^2

Each has its derivatives in closed form, their largest values on intervals (``suprema``), and the time at which
atan(sigma/alpha) has a given value (``time_of``; the table's is searched).
"""

from __future__ import annotations

import math

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.field.beta_table import BetaShape, BetaTable, usual_betas
from mixvel_core.field.conversions import vp_point
from mixvel_core.protocols import SchedulePoint, Suprema

HALF_PI = 0.5 * math.pi
_LARGEST_LOG = 1e3
"""-log alpha beyond which alpha is zero in float64."""


@frozen(kw_only=True)
class Linear:
    """beta(t) = beta_min + (beta_max - beta_min) t, log alpha = -1/2 times its integral.

    alpha(1) is small but not zero: 0.0066 with the usual 0.1 and 20. d_sigma is infinite at t = 0.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def at(self, t: Tensor) -> SchedulePoint:
        """alpha, sigma and their derivatives at t: f = alpha'/alpha = -beta(t)/2."""
        slope = self.beta_max - self.beta_min
        return vp_point(
            -0.25 * slope * t**2 - 0.5 * self.beta_min * t,
            -0.5 * (slope * t + self.beta_min),
            torch.full_like(t, -0.5 * slope),
        )

    def suprema(self, low: Tensor, high: Tensor) -> Suprema:
        """Attained at an end, or where the next derivative of alpha vanishes.

        With f < 0 and f' = -slope/2: alpha'' = alpha (f' + f^2) is zero at f^2 = slope/2, the third derivative,
        alpha f (3 f' + f^2), at f^2 = 3 slope/2. A beta that does not grow has no such times.
        """
        slope = self.beta_max - self.beta_min
        turns = [(math.sqrt(2.0 * w * slope) - self.beta_min) / slope for w in (1.0, 3.0)] if slope > 0 else [0.0, 0.0]
        ends = [self.at(low), self.at(high)]
        first, second = (self.at(torch.minimum(torch.full_like(low, turn).maximum(low), high)) for turn in turns)
        return Suprema(
            d_alpha=torch.stack([p.d_alpha.abs() for p in (*ends, first)]).amax(0),
            dd_alpha=torch.stack([p.dd_alpha.abs() for p in (*ends, second)]).amax(0),
        )

    def time_of(self, angle: Tensor) -> Tensor:
        """The t with atan(sigma/alpha) = ``angle``: a t^2 + b t = -log cos(angle), a = slope/4, b = beta_min/2."""
        a, b = 0.25 * (self.beta_max - self.beta_min), 0.5 * self.beta_min
        # Near 1 the sine has more digits of a cosine than the cosine.
        near = -0.5 * torch.log1p(-(angle.sin() ** 2))
        log = torch.where(angle < 1.0, near, -angle.cos().clamp_min(0.0).log()).clamp_max(_LARGEST_LOG)
        return 2.0 * log / (b + (b**2 + 4.0 * a * log).clamp_min(0.0).sqrt())


@frozen(kw_only=True)
class Cosine:
    """alpha(1) = 0, and every derivative is bounded by (pi/2)^2: the paper's Assumption 3 holds."""

    def at(self, t: Tensor) -> SchedulePoint:
        """alpha, sigma and their derivatives at t."""
        # cos(pi t/2) as a sine of the time left: exact zero at t = 1 instead of 6e-17.
        alpha, sigma = (HALF_PI * (1.0 - t)).sin(), (HALF_PI * t).sin()
        return SchedulePoint(
            alpha=alpha,
            sigma=sigma,
            d_alpha=-HALF_PI * sigma,
            d_sigma=HALF_PI * alpha,
            dd_alpha=-(HALF_PI**2) * alpha,
        )

    def suprema(self, low: Tensor, high: Tensor) -> Suprema:
        """Sines of t are largest at the later end, cosines at the earlier one."""
        early, late = self.at(low), self.at(high)
        return Suprema(
            d_alpha=HALF_PI * late.sigma,
            dd_alpha=HALF_PI**2 * early.alpha,
            d_sigma=HALF_PI * early.alpha,
            dd_sigma=HALF_PI**2 * late.sigma,
        )

    def time_of(self, angle: Tensor) -> Tensor:
        """The t with atan(sigma/alpha) = pi t/2 = ``angle``."""
        return angle / HALF_PI


@frozen(kw_only=True)
class Rectified:
    """Straight lines between data and noise (rectified flow, flow matching); not variance preserving."""

    def at(self, t: Tensor) -> SchedulePoint:
        """alpha, sigma and their derivatives at t."""
        return SchedulePoint(
            alpha=1.0 - t,
            sigma=t.clone(),
            d_alpha=torch.full_like(t, -1.0),
            d_sigma=torch.ones_like(t),
            dd_alpha=torch.zeros_like(t),
        )

    def suprema(self, low: Tensor, high: Tensor) -> Suprema:
        """The slopes are -1 and 1 at every t, the second derivatives zero."""
        one, zero = torch.ones_like(low), torch.zeros_like(low)
        return Suprema(d_alpha=one, dd_alpha=zero, d_sigma=one, dd_sigma=zero)

    def time_of(self, angle: Tensor) -> Tensor:
        """The t with atan(t / (1 - t)) = ``angle``."""
        return angle.sin() / (angle.sin() + angle.cos())


def ddpm_table(*, betas: BetaShape, steps: int, first: float, last: float) -> BetaTable:
    """The schedule of one of the usual tables of ``steps`` betas (``usual_betas``)."""
    return BetaTable.from_betas(usual_betas(betas, steps, first, last))
