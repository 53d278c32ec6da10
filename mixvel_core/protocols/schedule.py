"""NoiseSchedule: how much data and how much noise there is in x_t at each time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

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


@frozen(kw_only=True)
class Suprema:
    """The largest absolute values that derivatives of a schedule take on intervals of time; shape of the intervals.

    ``d_alpha``, ``dd_alpha``: of the first and second derivative of alpha. ``d_sigma``, ``dd_sigma``: of sigma; None
    where the schedule is variance preserving, whose sigma alpha determines. Infinite where there is no bound.
    """

    d_alpha: Tensor
    dd_alpha: Tensor
    d_sigma: Tensor | None = None
    dd_sigma: Tensor | None = None


@runtime_checkable
class BoundedSchedule(NoiseSchedule, Protocol):
    """A schedule that can prove bounds of its derivatives between grid times, where values at grid times prove nothing.

    Optional: without it the constants of the theory are estimates, and are reported as such.
    """

    def suprema(self, low: Tensor, high: Tensor) -> Suprema:
        """Upper bounds over each interval [low, high].

        Args:
            low, high: ends in [0, 1], low <= high, the same shape, float64.

        Returns:
            Bounds that are attained, or that tend to the true suprema as the intervals shrink.
        """


@runtime_checkable
class InvertibleSchedule(NoiseSchedule, Protocol):
    """A schedule with a formula for the time of a noise; others are searched (``mixvel_core.field.angle``)."""

    def time_of(self, angle: Tensor) -> Tensor:
        """The time at which atan(sigma/alpha) is ``angle``, in [0, pi/2]; any t >= 1 beyond the last angle."""


@runtime_checkable
class SteppedSchedule(NoiseSchedule, Protocol):
    """A schedule that came with its own way to choose N steps; the grid ``native`` takes it."""

    def times(self, steps: int) -> Sequence[float]:
        """N + 1 strictly falling times in [0, 1]. Raises UsageError where it has no such steps."""
