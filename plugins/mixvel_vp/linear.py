"""VP with a linear beta: alpha = exp(-t^2 (beta_max - beta_min)/4 - t beta_min/2) (Song et al. 2021)."""

from __future__ import annotations

import math

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.protocols import SchedulePoint, Suprema
from mixvel_vp.preserving import from_log_alpha

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
