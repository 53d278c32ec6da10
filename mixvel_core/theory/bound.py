"""Bounds known by their logarithms: sums of them, the paper's beside ours, and how they are written."""

from __future__ import annotations

import math

from attrs import frozen

LN10 = math.log(10.0)
PLAIN_EXPONENT = 5
"""Numbers with exponents of ten from this size on are written as powers of ten."""


def ln(value: float) -> float:
    """ln of a number of at least 0; minus infinity at 0."""
    return math.log(value) if value > 0 else -math.inf


def log_sum(*logs: float) -> float:
    """ln of the sum of exp(l), without overflow."""
    largest = max(logs)
    if largest == -math.inf or largest == math.inf:
        return largest
    return largest + math.log(sum(math.exp(one - largest) for one in logs))


def power_of_ten(log10: float | None) -> str:
    """A number known by its logarithm as text: 0.1234, or 10^30.2; a dash for None."""
    if log10 is None:
        return "–"
    if abs(log10) < PLAIN_EXPONENT:
        return f"{10**log10:.4g}"
    return f"10^{log10:.1f}" if abs(log10) < 10**PLAIN_EXPONENT else f"10^{log10:.2g}"


@frozen(kw_only=True)
class TwoBounds:
    """The paper's bound of a quantity and ours, which is never above it, in log10.

    ``paper_log10``: None where the paper's conditions fail. ``sharp_log10``: ours; None where ours needs no such
    quantity. ``paper_above_diameter``, ``sharp_above_diameter``: of distances between distributions, whether the
    bound is at least the data's diameter and so vacuous; None for what is no such distance.
    """

    paper_log10: float | None
    sharp_log10: float | None
    paper_above_diameter: bool | None = None
    sharp_above_diameter: bool | None = None

    @property
    def texts(self) -> tuple[str, str]:
        """The paper's bound and ours as they are printed; a vacuous one is marked."""
        pairs = (
            (self.paper_log10, self.paper_above_diameter),
            (self.sharp_log10, self.sharp_above_diameter),
        )
        paper, sharp = (power_of_ten(log10) + (" (vacuous)" if above else "") for log10, above in pairs)
        return paper, sharp


@frozen(kw_only=True)
class Bound(TwoBounds):
    """A constant or a bound; a logarithm of minus infinity stands for zero.

    ``name``: as the theory writes it (``L_v``). ``title``: what it is, and the theorem. ``where``: for which times or
    steps.
    """

    name: str
    title: str
    where: str


@frozen(kw_only=True)
class Epsilon:
    """At points of some times. ``er_sup``: the largest ||m^_k - m_k|| over points and k. ``er_rms``: the root of
    E sum_k a_k ||m^_k - m_k||^2, so that each expert answers for its own shard's noised data, as in its training.
    ``ec_sup``, ``ec_rms``: of abs(a^_k - a_k), the latter over points and k; None for a router with a state, which only
    exists along trajectories. ``count``: points.
    """

    er_sup: float
    er_rms: float
    ec_sup: float | None
    ec_rms: float | None
    count: int
