"""Bound: one line of the table, the paper's figure beside ours, and sums of numbers known by their logarithms."""

from __future__ import annotations

import math

from attrs import frozen

LN10 = math.log(10.0)


def ln(value: float) -> float:
    """ln of a number of at least 0; minus infinity at 0."""
    return math.log(value) if value > 0 else -math.inf


def log_sum(*logs: float) -> float:
    """ln of the sum of exp(l), without overflow."""
    largest = max(logs)
    if largest == -math.inf or largest == math.inf:
        return largest
    return largest + math.log(sum(math.exp(one - largest) for one in logs))


def exceeds_diameter(bound_log10: float, diameter: float) -> bool:
    """Whether a distance of 10^bound_log10 is at least the diameter."""
    return bound_log10 >= log10(diameter)


@frozen(kw_only=True)
class Bound:
    """A constant or a bound, in log10.

    ``name``: as the theory writes it (``L_v``). ``title``: what it is, and the theorem. ``where``: for which times or
    steps.
    ``paper_log10``: None where the paper's conditions fail. ``sharp_log10``: ours, never above the paper's; None where
    ours needs no such quantity. Minus infinity stands for zero. ``vacuous``: of distances between distributions,
    whether ours says no more than the data's diameter does; None for what is no such distance. ``paper_vacuous``: the
    same of the paper's.
    """

    name: str
    title: str
    where: str
    paper_log10: float | None
    sharp_log10: float | None
    paper_vacuous: bool | None = None
    vacuous: bool | None = None


def log10(value: float) -> float:
    """log10 of a number of at least 0; minus infinity at 0."""
    return math.log10(value) if value > 0 else -math.inf
