"""The rectified path in shifted time: sigma/alpha is multiplied by ``shift`` (Esser et al. 2024, for large images)."""

from __future__ import annotations

from attrs import frozen
from torch import Tensor

from mixvel_core.protocols import SchedulePoint


@frozen(kw_only=True)
class Shifted:
    """sigma = c t / (1 + (c - 1) t), alpha = 1 - sigma, with c = ``shift``."""

    shift: float

    def at(self, t: Tensor) -> SchedulePoint:
        """Closed forms at t."""
        c = self.shift
        q = 1.0 + (c - 1.0) * t
        rate = c / q**2
        return SchedulePoint(
            alpha=(1.0 - t) / q,
            sigma=c * t / q,
            d_alpha=-rate,
            d_sigma=rate,
            dd_alpha=2.0 * (c - 1.0) * rate / q,
        )
