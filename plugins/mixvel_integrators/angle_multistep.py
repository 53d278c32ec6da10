"""pc: the multistep method in the angle, with a corrector that costs no evaluation.

theta = atan(sigma/alpha) falls from pi/2 (noise) to 0 (data) on every schedule. S1: d(x/sigma) / d(cot theta) = M.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.protocols import Field, SchedulePoint
from mixvel_integrators.multistep import POINTS, STEEP, WEIGHTS, History, lagrange, step


def lagrange_integrals(nodes: Sequence[float], start: float, end: float) -> list[float]:
    """c_i = int l_i(theta) d(cot theta) from ``start`` to ``end``, l_i the Lagrange polynomials of ``nodes``.

    Args:
        nodes: distinct angles.
        start, end: angles in (0, pi/2].
    """
    if len(nodes) == 1:
        return [1.0 / float(np.tan(end)) - 1.0 / float(np.tan(start))]
    # In log(theta), where the integrands are entire: exact to rounding.
    half, middle = 0.5 * np.log(start / end), 0.5 * np.log(start * end)
    theta = np.exp(half * POINTS + middle)
    # d(cot theta) = -dtheta / sin^2(theta), and theta falls along the step: the signs cancel.
    density = half * WEIGHTS * theta / np.sin(theta) ** 2
    return [float((density * factor).sum()) for factor in lagrange(nodes, theta)]


@frozen(kw_only=True)
class Angle:
    """The coordinate theta, which is finite at pure noise too."""

    def coordinate(self, p: SchedulePoint) -> float:
        """theta in [0, pi/2]."""
        return float(torch.atan2(p.sigma, p.alpha))

    def is_steep(self, start: float, end: float) -> bool:
        """Whether the step is one to less than a quarter of its angle."""
        return end < STEEP * start

    def coefficients(self, nodes: Sequence[float], start: float, end: float) -> list[float]:
        """c_i of the estimates at ``nodes``, for a step from ``start`` to ``end`` (``lagrange_integrals``)."""
        return lagrange_integrals(nodes, start, end)


ANGLE = Angle()


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
        return step(ANGLE, (self.predictor, self.corrector), field, x, t, s, history)
