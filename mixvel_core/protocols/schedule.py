"""NoiseSchedule: how much data and how much noise there is in x_t at each time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attrs import frozen

if TYPE_CHECKING:
    from torch import Tensor


@frozen(kw_only=True)
class SchedulePoint:
    """A schedule and its derivatives at times t; every field has the shape of t.

    ``alpha``, ``sigma``: x_t = alpha x_0 + sigma eps. ``d_alpha``, ``d_sigma``: their derivatives d/dt.
    ``dd_alpha``: the second derivative of alpha.
    """

    alpha: Tensor
    sigma: Tensor
    d_alpha: Tensor
    d_sigma: Tensor
    dd_alpha: Tensor


class NoiseSchedule(Protocol):
    """x_t = alpha(t) x_0 + sigma(t) eps, with t = 0 data and t = 1 noise."""

    def at(self, t: Tensor) -> SchedulePoint:
        """Closed forms of alpha, sigma and their derivatives.

        Args:
            t: times in [0, 1], any shape, float32 or float64.

        Returns:
            A point whose fields have the shape, dtype and device of ``t``. alpha falls from 1 at t = 0;
            alpha / sigma is strictly decreasing; d_sigma may be infinite at t = 0 where sigma is a root.
        """
        ...
