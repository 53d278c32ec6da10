"""A smooth flow with a known end, which integrators are measured on."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import attrs
import torch
from attrs import define, frozen
from torch import Tensor

from mixvel_core.field.conversions import at_time, velocity
from mixvel_core.protocols import Field, Integrator, NoiseSchedule
from mixvel_core.testing.problems import Circle

START, END = 0.9, 0.15
"""Where orders are measured: away from t = 1, where log alpha/sigma may be infinite, and from the data, where the flow
is stiff."""


@frozen(kw_only=True)
class TwoGaussians:
    """The denoiser of two Gaussians in the plane (D3), in the type of x: curved in x and in t."""

    schedule: NoiseSchedule = attrs.field(factory=Circle)

    def denoise(self, x: Tensor, t: float) -> Tensor:
        """m(x, t), (B, 2)."""
        p = at_time(self.schedule, t)
        alpha, sigma = float(p.alpha), float(p.sigma)
        means = torch.tensor([[0.8, -0.3], [-0.5, 0.6]], dtype=torch.float64)
        variances = torch.tensor([[0.3, 0.2], [0.15, 0.4]], dtype=torch.float64)
        total = alpha**2 * variances + sigma**2
        off = x.double()[:, None] - alpha * means
        weight = (-0.5 * (off**2 / total + total.log()).sum(-1)).softmax(1)
        m = means + alpha * variances / total * off
        return torch.einsum("bj,bjd->bd", weight, m).to(x.dtype)

    def start(self, count: int = 6, dtype: torch.dtype = torch.float64) -> Tensor:
        """Points of much noise, spread evenly around the origin, (count, 2)."""
        angle = torch.linspace(0.2, 5.8, count, dtype=torch.float64)
        radius = torch.linspace(0.4, 1.6, count, dtype=torch.float64)
        return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1).to(dtype)

    def exact(self, x: Tensor, steps: int = 400) -> Tensor:
        """Where the flow takes x from ``START`` to ``END``: the classical Runge-Kutta method, to eleven digits."""
        for t, s in pairwise(grid(steps)):
            h, half = s - t, 0.5 * (t + s)
            k1 = self._velocity(x, t)
            k2 = self._velocity(x + 0.5 * h * k1, half)
            k3 = self._velocity(x + 0.5 * h * k2, half)
            k4 = self._velocity(x + h * k3, s)
            x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return x

    def _velocity(self, x: Tensor, t: float) -> Tensor:
        return velocity(self.denoise(x, t), x, at_time(self.schedule, t))


@define(kw_only=True, eq=False)
class Watched:
    """A field that keeps what it was asked: the times, and the points of each call."""

    field: Field
    times: list[float] = attrs.field(factory=list)
    points: list[Tensor] = attrs.field(factory=list)

    @property
    def schedule(self) -> NoiseSchedule:
        """The field's."""
        return self.field.schedule

    def denoise(self, x: Tensor, t: float) -> Tensor:
        """The field's answer."""
        self.times.append(t)
        self.points.append(x.clone())
        return self.field.denoise(x, t)


def grid(steps: int) -> list[float]:
    """Even times from ``START`` to ``END``."""
    return [START + (END - START) * n / steps for n in range(steps + 1)]


def follow(integrator: Integrator, flow: Field, x: Tensor, times: list[float]) -> Tensor:
    """Where the integrator takes x along ``times``."""
    history: Any = None
    for t, s in pairwise(times):
        x, history = integrator.step(flow, x, t, s, history)
    return x
