"""Which of the paper's conditions a problem breaks, and what that means for the figures."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import torch
from attrs import frozen

from mixvel_core.protocols import BoundedSchedule, NoiseSchedule

Condition: TypeAlias = Literal[
    "variance-preserving",
    "alpha-at-zero",
    "alpha-at-one",
    "bounded-derivatives",
    "monotone",
    "proven-suprema",
    "step-at-most-one",
]
"""Names of the conditions; all but the last two are parts of Assumption 3 or of the setting it stands in."""

_POINTS = 257
_CLOSE = 1e-9


@frozen(kw_only=True)
class Finding:
    """A condition that does not hold. ``message``: what, and what it does to the figures, in one line."""

    condition: Condition
    message: str


def is_preserving(schedule: NoiseSchedule) -> bool:
    """Whether alpha^2 + sigma^2 = 1, looked at on a grid."""
    p = schedule.at(torch.linspace(0.0, 1.0, _POINTS, dtype=torch.float64))
    return bool(((p.alpha**2 + p.sigma**2 - 1.0).abs() < _CLOSE).all())


def check_schedule(schedule: NoiseSchedule, C1: float, C2: float) -> tuple[Finding, ...]:
    """What of Assumption 3 the schedule breaks.

    Args:
        schedule: to look at, on a grid of times and at both ends.
        C1, C2: from ``schedule_constants``; infinite where a derivative has no bound.
    """
    t = torch.linspace(0.0, 1.0, _POINTS, dtype=torch.float64)
    p = schedule.at(t)
    first, last = float(p.alpha[0]), float(p.alpha[-1])
    found: list[Finding] = []
    if not is_preserving(schedule):
        found.append(
            Finding(
                condition="variance-preserving",
                message="alpha^2 + sigma^2 is not 1: the paper's bounds are left out; ours hold on any path",
            )
        )
    if abs(first - 1.0) > _CLOSE:
        found.append(
            Finding(
                condition="alpha-at-zero",
                message=f"alpha(0) = {first:.4g}, not 1: Theorem 7's distance to the data is counted with alpha(delta)",
            )
        )
    if abs(last) > _CLOSE:
        found.append(
            Finding(
                condition="alpha-at-one",
                message=f"alpha(1) = {last:.4g}, not 0: N(0, I) is not the law at t = 1; a prior mismatch is added",
            )
        )
    if not (math.isfinite(C1) and math.isfinite(C2)):
        found.append(
            Finding(
                condition="bounded-derivatives",
                message="alpha' or alpha'' is not bounded on [0, 1]: the paper's uniform bounds are infinite",
            )
        )
    if (p.alpha.diff() > _CLOSE).any() or (p.sigma.diff() < -_CLOSE).any():
        found.append(
            Finding(
                condition="monotone",
                message="alpha does not fall or sigma does not rise everywhere: suprema over time are not proven",
            )
        )
    if not isinstance(schedule, BoundedSchedule):
        found.append(
            Finding(
                condition="proven-suprema",
                message="the schedule offers no `suprema`: its constants are maxima over a grid plus 2 %, not proofs",
            )
        )
    return tuple(found)
