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


def hold_within(schedule: NoiseSchedule, M: Tensor, x: Tensor, t: float, s: float, bound: float) -> Tensor:
    """``hold`` with the clean part kept in [-bound, bound] and the noise part as it is: diffusers' ``clip_sample``.

    Clipping M itself changes the noise too, which is then no longer what the network predicted.
    """
    now, then = at_time(schedule, t), at_time(schedule, s)
    return then.alpha * M.clamp(-bound, bound) + then.sigma / now.sigma * (x - now.alpha * M)


@frozen(kw_only=True)
class DDIM:
    """First order, one evaluation of the field a step; may end at clean data.

    ``clip``: bound of the clean part of each step (``hold_within``); None for the plain formula.
    """

    clip: float | None = None

    order: int = 1
    evaluations: int = 1

    def step(self, field: Field, x: Tensor, t: float, s: float, history: None) -> tuple[Tensor, None]:
        """One step from t down to s."""
        M = field.denoise(x, t)
        if self.clip is None:
            return hold(field.schedule, M, x, t, s), None
        return hold_within(field.schedule, M, x, t, s, self.clip), None
