"""Checks of what the protocol requires of a Guidance."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mixvel_core.protocols import Guidance
from mixvel_core.testing.check import require, require_finite, require_like, require_near, same_rows, untouched

TIMES = tuple(i / 16 for i in range(17))


def _estimates() -> tuple[Tensor, Tensor]:
    """M_c and M_r, (5, 3) each."""
    grid = torch.linspace(-1.0, 1.0, 15, dtype=torch.float64).reshape(5, 3)
    return grid.sin(), (2.0 * grid).cos()


def scale(guidance: Guidance) -> None:
    """The scale is finite and not negative at every time; reference and route are of those there are."""
    for t in TIMES:
        w = guidance.at(t)
        fix = "return a finite scale of at least 0 at every time in [0, 1]"
        require(math.isfinite(w) and w >= 0.0, f"at({t:g}) is {w}", fix)
    found = guidance.reference, guidance.route
    require(found[0] in ("null", "weaker"), f"reference is {found[0]!r}", "it is null or weaker")
    require(found[1] in ("own", "shared"), f"route is {found[1]!r}", "it is own or shared")


def shape(guidance: Guidance) -> None:
    """What is combined has the shape, type and device of the estimates, which are left as they are."""
    for dtype in (torch.float32, torch.float64):
        given, other = (part.to(dtype) for part in _estimates())
        for t in TIMES:
            with untouched(given=given, other=other):
                found = guidance.combine(given, other, t)
            require_like(f"combine at t = {t:g}", found, given, "return M with the shape and type of M_c")


def one(guidance: Guidance) -> None:
    """Where the scale is 1 the condition alone is followed: the reference is not evaluated there."""
    given, other = _estimates()
    for t in TIMES:
        if guidance.at(t) == 1.0:
            found = guidance.combine(given, other, t)
            require_near(found, given, f"at({t:g}) is 1, and combine differs from M_c by", "give M_c where w is 1")


def linear(guidance: Guidance) -> None:
    """It is linear in both estimates: smooth parts and jumps of selectors are combined by it apart."""
    given, other = _estimates()
    zero = torch.zeros_like(given)
    for t in TIMES:
        parts = guidance.combine(given, zero, t) + guidance.combine(zero, other, t)
        what = f"combine(M_c, 0) + combine(0, M_r) differs from combine(M_c, M_r) at t = {t:g} by"
        require_near(parts, guidance.combine(given, other, t), what, "make it linear in M_c and M_r together")


def agreement(guidance: Guidance) -> None:
    """Where both estimates agree, there is nothing to lead away from."""
    given, _ = _estimates()
    for t in TIMES:
        found = guidance.combine(given, given.clone(), t)
        require_near(found, given, f"combine(M, M) differs from M at t = {t:g} by", "let the factors add up to 1")


def finite(guidance: Guidance) -> None:
    """Finite estimates make a finite one, whatever they are and at every time."""
    given, other = _estimates()
    for M_c, M_r in ((given, other), (given, given), (torch.zeros_like(given), other), (1e6 * given, -1e6 * other)):
        for t in TIMES:
            fix = "divide by nothing that may be zero, such as their difference or its norm"
            require_finite(f"combine at t = {t:g}", guidance.combine(M_c, M_r, t), fix)


def rows(guidance: Guidance) -> None:
    """Samples of a batch are guided independently."""
    given, other = _estimates()
    for t in TIMES[::4]:
        same_rows("combine", lambda i, t=t: guidance.combine(given[i], other[i], t), len(given))  # type: ignore[misc]  # mypy infers no type for a lambda with a default


CHECKS = (scale, shape, one, linear, agreement, finite, rows)
