"""The rectified path: alpha = 1 - t, sigma = t (Liu et al. 2023, Lipman et al. 2023)."""

from __future__ import annotations

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.protocols import SchedulePoint, Suprema


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
