"""pc: a linear multistep method in the angle, with a corrector that costs no evaluation.

theta = atan(sigma/alpha) falls from pi/2 (noise) to 0 (data) on every schedule. S1: d(x/sigma) / d(cot theta) = M, so

    x_s/sigma_s = x_t/sigma_t + int M d(cot theta)   from theta_t to theta_s,

with M interpolated by Lagrange polynomials in theta through the last estimates. When the estimate at the predicted x_s
arrives, the step that led there is made again with it as a further node, and the next step starts from the corrected
point (the corrector of UniPC, Zhao et al. 2023); nothing is evaluated twice. With one node a step is DDIM's.

Of a selector's estimates the smooth part is interpolated; a jump enters the step it belongs to as a constant.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.field.angle import angle_at
from mixvel_core.field.conversions import at_time
from mixvel_core.protocols import Estimate, Field, NoiseSchedule, SplitField

STEEP = 0.25
"""A step to less than this part of its angle holds M. Nearly all of its integral lies at its end, where polynomials in
theta would carry the slope of the last steps across several units of log(theta)."""

POINTS, WEIGHTS = np.polynomial.legendre.leggauss(24)
"""Gauss-Legendre quadrature in log(theta), where the integrands are entire: exact to rounding."""


@frozen(kw_only=True, eq=False)
class History:
    """What a step from t leaves for the next.

    ``x``: the corrected point at ``t``, (B, *data). ``nodes``: (theta, smooth estimate), newest first. ``jump``: of
    its estimate.
    """

    x: Tensor
    t: float
    nodes: tuple[tuple[float, Tensor], ...]
    jump: Tensor | None


def lagrange_integrals(nodes: Sequence[float], start: float, end: float) -> list[float]:
    """c_i = int l_i(theta) d(cot theta) from ``start`` to ``end``, l_i the Lagrange polynomials of ``nodes``.

    Args:
        nodes: distinct angles.
        start, end: angles in (0, pi/2], end < start.
    """
    if len(nodes) == 1:
        return [1.0 / float(np.tan(end)) - 1.0 / float(np.tan(start))]
    half, middle = 0.5 * np.log(start / end), 0.5 * np.log(start * end)
    theta = np.exp(half * POINTS + middle)
    # d(cot theta) = -dtheta / sin^2(theta), and theta falls along the step: the signs cancel.
    density = half * WEIGHTS * theta / np.sin(theta) ** 2
    others = [[(theta - b) / (a - b) for b in nodes if b != a] for a in nodes]
    return [float((density * np.prod(factors, axis=0)).sum()) for factors in others]


@frozen(kw_only=True)
class AngleMultistep:
    """Predictor of order ``predictor`` >= 1, corrector of order ``corrector`` (0: none); one evaluation a step."""

    predictor: int = 2
    corrector: int = 3

    evaluations: int = 1

    @property
    def order(self) -> int:
        """The corrector raises the order by one at most: the estimate it uses is at the predicted point."""
        return max(self.predictor, min(self.corrector, self.predictor + 1))

    def step(self, field: Field, x: Tensor, t: float, s: float, history: History | None) -> tuple[Tensor, History]:
        """x_s, (B, *data), and what the next step needs."""
        estimate = field.estimate(x, t) if isinstance(field, SplitField) else Estimate(smooth=field.denoise(x, t))
        theta_t, theta_s = _angle(field.schedule, t), _angle(field.schedule, s)
        nodes: tuple[tuple[float, Tensor], ...] = ((theta_t, estimate.smooth),)
        if history is not None:
            nodes += history.nodes
            if self.corrector:
                x = _advance(field.schedule, history.x, history.t, t, nodes[: self.corrector], history.jump)
        order = 1 if theta_s < STEEP * theta_t else self.predictor
        moved = _advance(field.schedule, x, t, s, nodes[:order], estimate.jump)
        kept = max(self.predictor, self.corrector, 2) - 1
        return moved, History(x=x, t=t, nodes=nodes[:kept], jump=estimate.jump)


def _angle(schedule: NoiseSchedule, t: float) -> float:
    return float(angle_at(schedule, torch.tensor(t, dtype=torch.float64)))


def _advance(
    schedule: NoiseSchedule, x: Tensor, t: float, s: float, nodes: Sequence[tuple[float, Tensor]], jump: Tensor | None
) -> Tensor:
    """x_s = (sigma_s/sigma_t) x_t + sigma_s (sum_i c_i M_i + c jump); at sigma_s = 0 alpha_s M, as DDIM."""
    p_t, p_s = at_time(schedule, t), at_time(schedule, s)
    theta_t, theta_s = _angle(schedule, t), _angle(schedule, s)
    newest = nodes[0][1]
    if theta_s == 0.0:
        return p_s.alpha * (newest if jump is None else newest + jump)
    sigma_s = float(p_s.sigma)
    x_s = (p_s.sigma / p_t.sigma) * x
    for c, (_, M) in zip(lagrange_integrals([theta for theta, _ in nodes], theta_t, theta_s), nodes, strict=True):
        x_s = x_s + sigma_s * c * M
    if jump is not None:
        [c] = lagrange_integrals([theta_t], theta_t, theta_s)
        x_s = x_s + sigma_s * c * jump
    return x_s
