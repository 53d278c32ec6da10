"""Integrators of the sampling ODE: routed Euler and Heun on v, DDIM, and the second-order multistep 2M.

Each of the two stages is an evaluation of the field of its own: the router is asked at the stage's own point and time,
and a random selector draws again. A `fixed` selector keeps its expert, an `iid` one may change it between the stages.

With lambda = log(alpha/sigma): M* = M_n + (M_n - M_{n-1}) / (2 r), r = (lambda_n - lambda_{n-1}) / (lambda_{n+1} -
lambda_n), then the DDIM step with M*.
"""

from __future__ import annotations

import math

from attrs import frozen
from torch import Tensor

from mixvel_core.field.conversions import at_time, velocity
from mixvel_core.protocols import Field, NoiseSchedule


@frozen(kw_only=True)
class Euler:
    """First order, one evaluation of the field a step."""

    order: int = 1
    evaluations: int = 1

    def step(self, field: Field, x: Tensor, t: float, s: float, history: None) -> tuple[Tensor, None]:
        """One step from t down to s."""
        v = velocity(field.denoise(x, t), x, at_time(field.schedule, t))
        return x + (s - t) * v, None


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


@frozen(kw_only=True)
class Past:
    """What a step leaves for the next: its estimate M and its log signal-to-noise ratio lambda."""

    M: Tensor
    log_snr: float


def half_log_snr(schedule: NoiseSchedule, t: float) -> float:
    """lambda = log(alpha/sigma), infinite at the ends where one of them is zero."""
    p = at_time(schedule, t)
    alpha, sigma = float(p.alpha), float(p.sigma)
    if sigma == 0.0:
        return math.inf
    return math.log(alpha / sigma) if alpha > 0.0 else -math.inf


@frozen(kw_only=True)
class Multistep:
    """Second order, one evaluation of the field a step; order 1 where r is undefined (first and last step)."""

    order: int = 2
    evaluations: int = 1

    def step(self, field: Field, x: Tensor, t: float, s: float, history: Past | None) -> tuple[Tensor, Past]:
        """One step from t down to s."""
        M = field.denoise(x, t)
        here, there = half_log_snr(field.schedule, t), half_log_snr(field.schedule, s)
        ahead = M
        if history is not None and math.isfinite(history.log_snr) and math.isfinite(there):
            ahead = M + (M - history.M) * (0.5 * (there - here) / (here - history.log_snr))
        return hold(field.schedule, ahead, x, t, s), Past(M=M, log_snr=here)
