"""The problem that bounds are of: everything they depend on, and which of the paper's conditions it breaks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import torch
from attrs import Attribute, field, frozen

from mixvel_core.errors import UsageError
from mixvel_core.protocols import BoundedSchedule, NoiseSchedule


def _must(be: str, holds: Callable[[float], bool], because: str = "") -> Callable[[object, Attribute[Any], Any], None]:
    """A validator that raises UsageError where a value that is given is out of range."""

    def check(problem: object, attribute: Attribute[Any], value: Any) -> None:
        if value is not None and not holds(value):
            raise UsageError(f"theory: {attribute.name}{be}, not {value!r}{because}")

    return check


_radius = _must(", the largest norm of a data point, must be a number above 0", lambda v: math.isfinite(v) and v > 0)
_not_negative = _must(" must be a number of at least 0", lambda v: math.isfinite(v) and v >= 0)
_count = _must(" must be a whole number of at least 1", lambda v: v == int(v) and v >= 1)
_between_0_and_1 = _must(
    " must be above 0 and below 1", lambda v: 0.0 < v < 1.0, ": at delta = 0 every bound is infinite"
)


@frozen(kw_only=True)
class BoundProblem:
    """A sampling problem: N Euler steps of size h = (1 - delta)/N on the uniform grid from t = 1 to delta.

    Args:
        schedule: alpha and sigma.
        R: radius of a ball around 0 that holds the data (Assumption 2), > 0. Centred data has the smallest one.
        D: dimension of a data point, >= 1.
        K: number of experts, >= 1.
        delta: where sampling stops, in (0, 1).
        steps: N >= 1.
        eps_r: sup over x, t and k of norm(m^_k - m_k), the experts' error, >= 0.
        eps_c: sup over x, t and k of abs(a^_k - a_k), the router's error, >= 0. Routers answer on the simplex.
        norm_x1: norm of the starting point, for the bounds on one trajectory (Theorems 2 and 6). None: the mean over
            x_1 ~ N(0, I) (Theorem 8).
        diameter: largest distance between two data points, with which bounds are compared; None: 2 R.

    Raises:
        UsageError: a value out of range, one line.
    """

    schedule: NoiseSchedule
    R: float = field(validator=_radius)
    D: int = field(validator=_count)
    K: int = field(validator=_count)
    delta: float = field(validator=_between_0_and_1)
    steps: int = field(validator=_count)
    eps_r: float = field(default=0.0, validator=_not_negative)
    eps_c: float = field(default=0.0, validator=_not_negative)
    norm_x1: float | None = field(default=None, validator=_not_negative)
    diameter: float | None = field(default=None, validator=_not_negative)

    @property
    def T(self) -> float:
        """The length of time that is sampled, 1 - delta."""
        return 1.0 - self.delta

    @property
    def h(self) -> float:
        """The size of a step."""
        return self.T / self.steps

    @property
    def eps(self) -> float:
        """The paper's one epsilon: the larger of the two errors."""
        return max(self.eps_r, self.eps_c)

    @property
    def start(self) -> float:
        """norm(x_1), or the root of its mean square: sqrt(D). Every bound is affine in norm(x_1) before it is squared,
        so by Minkowski's inequality the bound at sqrt(D) bounds the mean over x_1 ~ N(0, I)."""
        return math.sqrt(self.D) if self.norm_x1 is None else self.norm_x1

    @property
    def rho(self) -> float:
        """norm(x_1) + R: no trajectory leaves this ball (Theorem 4)."""
        return self.start + self.R


Condition: TypeAlias = Literal[
    "variance-preserving", "alpha-at-zero", "alpha-at-one", "bounded-derivatives", "monotone", "proven-suprema"
]
"""Names of the conditions; all but the last are parts of Assumption 3 or of the setting it stands in."""

_POINTS = 257
_CLOSE = 1e-9


@frozen(kw_only=True)
class Finding:
    """A condition that does not hold. ``message``: what, and what it does to the figures, in one line."""

    condition: Condition
    message: str


def is_preserving(schedule: NoiseSchedule) -> bool:
    """Whether alpha^2 + sigma^2 = 1, compared on a grid of times."""
    p = schedule.at(torch.linspace(0.0, 1.0, _POINTS, dtype=torch.float64))
    return bool(((p.alpha**2 + p.sigma**2 - 1.0).abs() < _CLOSE).all())


def check_schedule(schedule: NoiseSchedule, C1: float, C2: float) -> tuple[Finding, ...]:
    """The conditions of Assumption 3 that the schedule breaks, compared on a grid of times. ``C1``, ``C2``: from
    ``schedule_constants``; infinite where a derivative has no bound."""
    p = schedule.at(torch.linspace(0.0, 1.0, _POINTS, dtype=torch.float64))
    first, last = float(p.alpha[0]), float(p.alpha[-1])
    is_monotone = bool((p.alpha.diff() <= _CLOSE).all() and (p.sigma.diff() >= -_CLOSE).all())
    conditions: dict[Condition, tuple[bool, str]] = {
        "variance-preserving": (
            is_preserving(schedule),
            "alpha^2 + sigma^2 is not 1: the paper's bounds are left out; ours hold on any path",
        ),
        "alpha-at-zero": (
            abs(first - 1.0) <= _CLOSE,
            f"alpha(0) = {first:.4g}, not 1: Theorem 7's distance to the data is counted with alpha(delta)",
        ),
        "alpha-at-one": (
            abs(last) <= _CLOSE,
            f"alpha(1) = {last:.4g}, not 0: N(0, I) is not the law at t = 1; a prior mismatch is added",
        ),
        "bounded-derivatives": (
            math.isfinite(C1) and math.isfinite(C2),
            "alpha' or alpha'' is not bounded on [0, 1]: the paper's uniform bounds are infinite",
        ),
        "monotone": (
            is_monotone,
            "alpha does not fall or sigma does not rise everywhere: suprema over time are not proven",
        ),
        "proven-suprema": (
            isinstance(schedule, BoundedSchedule),
            "the schedule offers no `suprema`: its constants are maxima over a grid plus 2 %, not proofs",
        ),
    }
    return tuple(Finding(condition=name, message=text) for name, (holds, text) in conditions.items() if not holds)
