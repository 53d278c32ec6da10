"""Linear multistep methods on the denoiser, in any coordinate u of the signal-to-noise ratio. S1 from t to s:

    x_s/sigma_s = x_t/sigma_t + int M d(alpha/sigma)  ~  x_t/sigma_t + sum_i c_i M_i,   c_i = int l_i(u) d(alpha/sigma),

l_i the Lagrange polynomials of the nodes u_i at which M was estimated last. A corrector makes the step that led to x_s
again when the estimate there arrives, with it as a further node, and the next step starts from the corrected point;
nothing is evaluated twice (Zhao et al. 2023). With one node a step is DDIM's.

Of a selector's estimates the smooth part is interpolated; a jump enters the step it belongs to as a constant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from attrs import frozen
from torch import Tensor

from mixvel_core.field.conversions import at_time
from mixvel_core.protocols import Estimate, Field, NoiseSchedule, SchedulePoint, SplitField

POINTS, WEIGHTS = np.polynomial.legendre.leggauss(24)
"""Gauss-Legendre quadrature; the integrands of this package are entire, and smooth on the steps that it is used for."""

STEEP = 0.25
"""A step to less than this part of its angle, or of more than -log of it in log(alpha/sigma), holds M. Nearly all of
its integral lies at its end, to which polynomials would carry the slope of much shorter steps."""


class Rule(Protocol):
    """A coordinate and the coefficients of a step in it."""

    def coordinate(self, p: SchedulePoint) -> float:
        """u at a point of the schedule; infinite where it has no value."""

    def is_steep(self, start: float, end: float) -> bool:
        """Whether a step from ``start`` to ``end`` in u holds M."""

    def coefficients(self, nodes: Sequence[float], start: float, end: float) -> list[float]:
        """c_i for each of the nodes, newest first, of a step from ``start`` to ``end`` in u."""


@frozen(kw_only=True, eq=False)
class History:
    """What a step from t leaves for the next.

    ``x``: the corrected point at ``t``, (B, *data). ``nodes``: (u, smooth estimate), newest first. ``jump``: of its
    estimate.
    """

    x: Tensor
    t: float
    nodes: tuple[tuple[float, Tensor], ...]
    jump: Tensor | None


def step(
    rule: Rule,
    orders: tuple[int, int],
    field: Field,
    x: Tensor,
    t: float,
    s: float,
    history: History | None,
) -> tuple[Tensor, History]:
    """One step of a multistep method.

    Args:
        rule: its coordinate and coefficients.
        orders: nodes of the predictor, at least 1, and of the corrector, 0 for none.
        field, x, t, s, history: as of ``Integrator.step``.

    Returns:
        x_s, (B, *data), and what the next step needs.
    """
    predictor, corrector = orders
    estimate = estimate_of(field, x, t)
    u_t, u_s = rule.coordinate(at_time(field.schedule, t)), rule.coordinate(at_time(field.schedule, s))
    nodes: tuple[tuple[float, Tensor], ...] = ((u_t, estimate.smooth),)
    if history is not None:
        nodes += history.nodes
        if corrector:
            x = advance(rule, field.schedule, history.x, history.t, t, nodes[:corrector], history.jump)
    order = 1 if rule.is_steep(u_t, u_s) else predictor
    moved = advance(rule, field.schedule, x, t, s, nodes[:order], estimate.jump)
    kept = max(predictor, corrector, 2) - 1
    return moved, History(x=x, t=t, nodes=nodes[:kept], jump=estimate.jump)


def estimate_of(field: Field, x: Tensor, t: float) -> Estimate:
    """The field's estimate, in two parts where it has them; one selection."""
    return field.estimate(x, t) if isinstance(field, SplitField) else Estimate(smooth=field.denoise(x, t))


def advance(
    rule: Rule,
    schedule: NoiseSchedule,
    x: Tensor,
    t: float,
    s: float,
    nodes: Sequence[tuple[float, Tensor]],
    jump: Tensor | None,
) -> Tensor:
    """x_s = (sigma_s/sigma_t) x_t + sigma_s (sum_i c_i M_i + c jump); at sigma_s = 0 alpha_s M, as DDIM."""
    p_t, p_s = at_time(schedule, t), at_time(schedule, s)
    sigma_s, newest = float(p_s.sigma), nodes[0][1]
    if sigma_s == 0.0:
        return p_s.alpha * (newest if jump is None else newest + jump)
    start, end = rule.coordinate(p_t), rule.coordinate(p_s)
    x_s = (p_s.sigma / p_t.sigma) * x
    for c, (_, M) in zip(rule.coefficients([u for u, _ in nodes], start, end), nodes, strict=True):
        x_s = x_s + sigma_s * c * M
    if jump is not None:
        [c] = rule.coefficients([start], start, end)
        x_s = x_s + sigma_s * c * jump
    return x_s


def lagrange(nodes: Sequence[float], u: np.ndarray) -> list[np.ndarray]:
    """The Lagrange polynomials of distinct ``nodes`` at ``u``."""
    return [np.prod([(u - b) / (a - b) for b in nodes if b != a] + [np.ones_like(u)], axis=0) for a in nodes]


def exponential_integrals(nodes: Sequence[float], start: float, end: float, rate: float) -> list[float]:
    """int l_i(u) e^(rate u) du from ``start`` to ``end``, l_i of the nodes that are finite; 0 of those that are not."""
    finite = [u for u in nodes if math.isfinite(u)]
    half = 0.5 * (end - start)
    u = half * POINTS + 0.5 * (end + start)
    density = half * WEIGHTS * np.exp(rate * u)
    made = dict(zip(finite, lagrange(finite, u), strict=True))
    return [float((density * made[u]).sum()) if u in made else 0.0 for u in nodes]


@frozen(kw_only=True)
class LogSNR:
    """The coordinate lambda = log(alpha/sigma), in which the field's baselines are defined: d(alpha/sigma) = e^lambda
    d lambda. Nodes at pure noise, where it is infinite, take no part."""

    def coordinate(self, p: SchedulePoint) -> float:
        """lambda, infinite where alpha or sigma is zero."""
        alpha, sigma = float(p.alpha), float(p.sigma)
        if sigma == 0.0:
            return math.inf
        return math.log(alpha / sigma) if alpha > 0.0 else -math.inf

    def is_steep(self, start: float, end: float) -> bool:
        """Whether lambda changes by more than log 4."""
        return not abs(end - start) <= -math.log(STEEP)

    def coefficients(self, nodes: Sequence[float], start: float, end: float) -> list[float]:
        """c_i, by quadrature in lambda."""
        finite = [u for u in nodes if math.isfinite(u)]
        if len(finite) <= 1:
            held = math.exp(end) - math.exp(start)
            return [held if u == (finite or nodes)[0] else 0.0 for u in nodes]
        return exponential_integrals(nodes, start, end, 1.0)


LOG_SNR = LogSNR()
