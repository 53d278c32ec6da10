"""Routed Euler: x_s = x_t + (s - t) v(x_t, t), the paper's eq. 14."""

from __future__ import annotations

from attrs import frozen
from torch import Tensor

from mixvel_core.field.conversions import at_time, velocity
from mixvel_core.protocols import Field


@frozen(kw_only=True)
class Euler:
    """First order, one evaluation of the field a step."""

    order: int = 1
    evaluations: int = 1

    def step(self, field: Field, x: Tensor, t: float, s: float, history: None) -> tuple[Tensor, None]:
        """One step from t down to s."""
        v = velocity(field.denoise(x, t), x, at_time(field.schedule, t))
        return x + (s - t) * v, None
