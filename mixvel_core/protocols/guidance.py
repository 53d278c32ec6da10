"""Guidance: how the estimate under a condition and another one make the field that samples follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from mixvel_core.types import Points

Reference = Literal["null", "weaker"]
"""What the estimate under the condition is compared with: the one without a condition, or a weaker model's."""
Route = Literal["own", "shared"]
"""By whose weights the reference is routed: by its own, or by those of the condition."""


class Guidance(Protocol):
    """M = (M_c, M_r) -> the denoiser that is followed; M_c under the condition, M_r of the reference."""

    @property
    def reference(self) -> Reference:
        """What M_r is: the estimate of the null condition, or a weaker model's."""

    @property
    def route(self) -> Route:
        """By whose weights M_r is routed."""

    def at(self, t: float) -> float:
        """w at time t. Where it is 1, M = M_c, and M_r is not evaluated."""

    def combine(self, given: Points, other: Points, t: float) -> Points:
        """M from M_c and M_r, (B, *data) each, linear in both: also their parts are combined by it."""
