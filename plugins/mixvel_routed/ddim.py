"""DDIM, the exponential Euler step: exact if the denoiser stands still (Song, Meng & Ermon 2021)."""

from __future__ import annotations

from attrs import frozen
from torch import Tensor

from mixvel_core.field.conversions import at_time
from mixvel_core.protocols import Field, NoiseSchedule


def hold(schedule: NoiseSchedule, M: Tensor, x: Tensor, t: float, s: float) -> Tensor:
    """x_s = alpha_s M + (sigma_s / sigma_t)(x - alpha_t M): the ODE's solution for a constant denoiser M."""
    now, then = at_time(schedule, t), at_time(schedule, s)
    ratio = then.sigma / now.sigma
    return ratio * x + (then.alpha - ratio * now.alpha) * M


@frozen(kw_only=True)
class DDIM:
    """First order, one evaluation of the field a step; may end at clean data."""

    order: int = 1
    evaluations: int = 1

    def step(self, field: Field, x: Tensor, t: float, s: float, history: None) -> tuple[Tensor, None]:
        """One step from t down to s."""
        return hold(field.schedule, field.denoise(x, t), x, t, s), None
