"""Noise schedules in closed form: variance preserving (linear beta, cosine) and the rectified path."""

from __future__ import annotations

import math

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.protocols import SchedulePoint, Suprema


def from_log_alpha(log_alpha: Tensor, rate: Tensor, rate_change: Tensor) -> SchedulePoint:
    """The point of a VP schedule.

    Args:
        log_alpha: log alpha(t) <= 0.
        rate: its derivative, which is the drift f = alpha'/alpha.
        rate_change: its second derivative.
    """
    alpha = log_alpha.exp()
    # expm1 keeps the digits that 1 - alpha^2 loses near t = 0, where alpha is nearly 1.
    sigma = torch.expm1(2.0 * log_alpha).abs().sqrt()
    d_alpha = alpha * rate
    return SchedulePoint(
        alpha=alpha,
        sigma=sigma,
        d_alpha=d_alpha,
        d_sigma=-alpha * d_alpha / sigma,
        dd_alpha=alpha * (rate_change + rate**2),
    )


_NOTHING_LEFT = 1e3
"""-log alpha beyond which alpha is zero in float64."""


@frozen(kw_only=True)
class Linear:
    """alpha(1) is small but not zero: 0.0066 with the usual 0.1 and 20. d_sigma is infinite at t = 0."""

    beta_min: float = 0.1
    beta_max: float = 20.0

    def at(self, t: Tensor) -> SchedulePoint:
        """Closed forms at t."""
        slope = self.beta_max - self.beta_min
        return from_log_alpha(
            -0.25 * slope * t**2 - 0.5 * self.beta_min * t,
            -0.5 * (slope * t + self.beta_min),
            torch.full_like(t, -0.5 * slope),
        )

    def suprema(self, low: Tensor, high: Tensor) -> Suprema:
        """Attained at an end, or where the next derivative of alpha vanishes.

        With f = alpha'/alpha < 0 and f' = -slope/2: alpha'' = alpha (f' + f^2) is zero at f^2 = slope/2, the third
        derivative, alpha f (3 f' + f^2), at f^2 = 3 slope/2. A beta that does not grow has no such times.
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
        """The time of atan(sigma/alpha): the root of a quadratic in t, for alpha = cos(angle)."""
        a, b = 0.25 * (self.beta_max - self.beta_min), 0.5 * self.beta_min
        # -log cos(angle); near 1 the sine has more digits of a cosine than the cosine.
        near = -0.5 * torch.log1p(-(angle.sin() ** 2))
        fallen = torch.where(angle < 1.0, near, -angle.cos().clamp_min(0.0).log()).clamp_max(_NOTHING_LEFT)
        return 2.0 * fallen / (b + (b**2 + 4.0 * a * fallen).clamp_min(0.0).sqrt())


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


@frozen(kw_only=True)
class Rectified:
    """Straight lines between data and noise; not variance preserving."""

    def at(self, t: Tensor) -> SchedulePoint:
        """Closed forms at t."""
        return SchedulePoint(
            alpha=1.0 - t,
            sigma=t.clone(),
            d_alpha=torch.full_like(t, -1.0),
            d_sigma=torch.ones_like(t),
            dd_alpha=torch.zeros_like(t),
        )

    def suprema(self, low: Tensor, high: Tensor) -> Suprema:
        """The slopes are constant."""
        one, zero = torch.ones_like(low), torch.zeros_like(low)
        return Suprema(d_alpha=one, dd_alpha=zero, d_sigma=one, dd_sigma=zero)

    def time_of(self, angle: Tensor) -> Tensor:
        """The time of atan(sigma/alpha) = atan(t / (1 - t))."""
        return angle.sin() / (angle.sin() + angle.cos())
