"""Integrators of the sampling ODE from time t down to s, with M = M(x, t) the field's estimate of the denoiser.

    euler  x_s = x + (s - t) v(x, t)                                                     order 1
    heun   x_s = x + (s - t) (v(x, t) + v(x', s)) / 2,   x' = x + (s - t) v(x, t)        order 2
    ddim   x_s = alpha_s M + (sigma_s / sigma_t) (x - alpha_t M)                         order 1
    2m     the DDIM step with M* = M_n + (M_n - M_{n-1}) / (2 r)                         order 2

with v the velocity (V1) of M, and r = (lambda_n - lambda_{n-1}) / (lambda_{n+1} - lambda_n), lambda = log(alpha/sigma).
Both stages of Heun evaluate the field: the router at the stage's own point and time, and a random selector draws again.
A `fixed` selector keeps its expert, an `iid` one may change it between the stages.
"""

from __future__ import annotations

import math

from attrs import frozen
from torch import Tensor

from mixvel_core.field.conversions import at_time, ddim_step, velocity
from mixvel_core.protocols import Field
from mixvel_integrators.multistep import LOG_SNR, estimate_of

LONGER = 1.5
"""On smooth grids the lengths of neighbouring steps differ by a factor near 1: none of their steps is concerned."""


@frozen(kw_only=True)
class Euler:
    """x_s = x + (s - t) v: first order, one evaluation of the field a step."""

    order: int = 1
    evaluations: int = 1

    def step(self, field: Field, x: Tensor, t: float, s: float, history: None) -> tuple[Tensor, None]:
        """x_s, (B, *data), and no history."""
        v = velocity(field.denoise(x, t), x, at_time(field.schedule, t))
        return x + (s - t) * v, None


@frozen(kw_only=True)
class Heun:
    """Second order, two evaluations of the field a step (one in a last step that ends at clean data)."""

    order: int = 2
    evaluations: int = 2

    def step(self, field: Field, x: Tensor, t: float, s: float, history: None) -> tuple[Tensor, None]:
        """x_s, (B, *data), and no history."""
        v_t = velocity(field.denoise(x, t), x, at_time(field.schedule, t))
        x_s = x + (s - t) * v_t
        p_s = at_time(field.schedule, s)
        if float(p_s.sigma) == 0.0:
            # The velocity has no value at clean data (V1 divides by sigma); the predictor stands.
            return x_s, None
        v_s = velocity(field.denoise(x_s, s), x_s, p_s)
        return x + 0.5 * (s - t) * (v_t + v_s), None


@frozen(kw_only=True)
class DDIM:
    """First order, one evaluation of the field a step; may end at clean data.

    ``clip``: the clean part of each step is kept in [-clip, clip] and the noise part as it is, which is diffusers'
    ``clip_sample``; clipping M itself would change the noise from what the network predicted. None: the plain formula.
    """

    clip: float | None = None

    order: int = 1
    evaluations: int = 1

    def step(self, field: Field, x: Tensor, t: float, s: float, history: None) -> tuple[Tensor, None]:
        """x_s, (B, *data), and no history."""
        M, p_t, p_s = field.denoise(x, t), at_time(field.schedule, t), at_time(field.schedule, s)
        if self.clip is None:
            return ddim_step(M, x, p_t, p_s), None
        return p_s.alpha * M.clamp(-self.clip, self.clip) + p_s.sigma / p_t.sigma * (x - p_t.alpha * M), None


@frozen(kw_only=True)
class Past:
    """What a step of 2M leaves for the next: the smooth part M of its estimate and its lambda = log(alpha/sigma)."""

    M: Tensor
    log_snr: float


@frozen(kw_only=True)
class Multistep:
    """Second order, one evaluation of the field a step; order 1 where r is undefined (first step, step to clean data).

    A step of more than ``LONGER`` times the last one extrapolates as if it were as long as that (r = 1): on most grids
    the last steps span most of lambda, and the slope of short steps does not hold across them.
    """

    order: int = 2
    evaluations: int = 1

    def step(self, field: Field, x: Tensor, t: float, s: float, history: Past | None) -> tuple[Tensor, Past]:
        """x_s, (B, *data), and what the next step needs of this one."""
        estimate = estimate_of(field, x, t)
        M, p_t, p_s = estimate.smooth, at_time(field.schedule, t), at_time(field.schedule, s)
        lambda_t, lambda_s = LOG_SNR.coordinate(p_t), LOG_SNR.coordinate(p_s)
        M_star = M
        if history is not None and math.isfinite(history.log_snr) and math.isfinite(lambda_s):
            inverse_r = (lambda_s - lambda_t) / (lambda_t - history.log_snr)
            M_star = M + (M - history.M) * (0.5 * (inverse_r if inverse_r <= LONGER else 1.0))
        if estimate.jump is not None:
            M_star = M_star + estimate.jump
        return ddim_step(M_star, x, p_t, p_s), Past(M=M, log_snr=lambda_t)
