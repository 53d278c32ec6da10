"""Guidances: M = M_r + w (M_c - M_r), with w = 1 outside an interval of times.

With exact estimates and w other than 1 the field is no mixture's any more, and its samples have another law than
p(x | c): they are drawn to where the condition is likelier than without it. Sources: classifier-free guidance, Ho &
Salimans 2022 (their w is one less); the interval, Kynkaanniemi et al. 2024; guidance by a weaker model, Karras et al.
2024.
"""

from __future__ import annotations

from bisect import bisect_right

from attrs import frozen
from torch import Tensor

from mixvel_core.errors import RecipeError
from mixvel_core.protocols import Reference, Route
from mixvel_guidance.hooks import ClassifierFreeOptions, IntervalOptions, LevelsOptions


@frozen(kw_only=True)
class NoGuidance:
    """The estimate under the condition as it is: M = M_c."""

    reference: Reference = "null"
    route: Route = "own"

    def at(self, t: float) -> float:
        """1 at every time t in [0, 1]."""
        return 1.0

    def combine(self, given: Tensor, other: Tensor, t: float) -> Tensor:
        """M_c as it is, (B, *data); M_r is not read."""
        return given


@frozen(kw_only=True)
class _Extrapolating(IntervalOptions):
    def at(self, t: float) -> float:
        """w for t in [low, high], 1 elsewhere."""
        return self.scale if self.low <= t <= self.high else 1.0

    def combine(self, given: Tensor, other: Tensor, t: float) -> Tensor:
        """M_r + w (M_c - M_r), (B, *data)."""
        return other + self.at(t) * (given - other)


@frozen(kw_only=True)
class ClassifierFree(ClassifierFreeOptions, _Extrapolating):
    """M_r is the mixture of the same experts without the condition."""

    reference: Reference = "null"


@frozen(kw_only=True)
class LevelledClassifierFree(LevelsOptions):
    """M = M_null + w(t) (M_c - M_null), w that of the level of noise at t; a boundary is of the level above."""

    reference: Reference = "null"

    def at(self, t: float) -> float:
        """w of the level of t."""
        if self.boundaries is None:
            raise RecipeError("guidance cfg-levels: boundaries are left open; give the times")
        return self.scales[bisect_right(self.boundaries, t)]

    def combine(self, given: Tensor, other: Tensor, t: float) -> Tensor:
        """M_null + w(t) (M_c - M_null), (B, *data)."""
        return other + self.at(t) * (given - other)


@frozen(kw_only=True)
class Autoguidance(_Extrapolating):
    """M_r is a weaker model under the same condition: one network for all data."""

    reference: Reference = "weaker"
    route: Route = "own"
