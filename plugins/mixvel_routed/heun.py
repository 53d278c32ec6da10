"""Routed Heun: the trapezoidal rule with an Euler predictor.

Each of the two stages is an evaluation of the field of its own: the router is asked at the stage's own point and time,
and a random selector draws again. A `fixed` selector keeps its expert, an `iid` one may change it between the stages.
"""

from __future__ import annotations

from attrs import frozen
from torch import Tensor

from mixvel_core.field.conversions import at_time, velocity
from mixvel_core.protocols import Field


@frozen(kw_only=True)
class Heun:
    """Second order, two evaluations of the field a step (one in a last step that ends at clean data)."""

    order: int = 2
    evaluations: int = 2

    def step(self, field: Field, x: Tensor, t: float, s: float, history: None) -> tuple[Tensor, None]:
        """One step from t down to s."""
        v = velocity(field.denoise(x, t), x, at_time(field.schedule, t))
        predicted = x + (s - t) * v
        end = at_time(field.schedule, s)
        if float(end.sigma) == 0.0:
            # The velocity has no value at clean data (V1 divides by sigma); the predictor stands.
            return predicted, None
        v_end = velocity(field.denoise(predicted, s), predicted, end)
        return x + 0.5 * (s - t) * (v + v_end), None
