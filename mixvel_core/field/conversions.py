"""Schedule points, the DDIM step, and conversions between predictions, denoiser, velocity and score (V1-V4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from attrs import asdict
from torch import Tensor

from mixvel_core.protocols.schedule import NoiseSchedule, SchedulePoint

Prediction: TypeAlias = Literal["x0", "eps", "v", "flow"]


def expand(value: Tensor, x: Tensor) -> Tensor:
    """``value`` of shape (B,) or () with trailing axes added, so that it multiplies x of shape (B, *data)."""
    return value.reshape(value.shape + (1,) * (x.ndim - value.ndim)) if value.ndim else value


def point_for(schedule: NoiseSchedule, t: Tensor, x: Tensor) -> SchedulePoint:
    """The schedule at times (B,), shaped to multiply x of shape (B, *data).

    Closed forms are evaluated in float64 and cast last: 1 - alpha^2 near t = 0 is what float32 would lose.
    """
    return changed_point(schedule.at(t.double()), lambda value: expand(value.to(x.dtype), x))


def changed_point(p: SchedulePoint, change: Callable[[Tensor], Tensor]) -> SchedulePoint:
    """The point with ``change`` made to each of its values."""
    return SchedulePoint(**{name: change(value) for name, value in asdict(p, recurse=False).items()})


def at_time(schedule: NoiseSchedule, t: float) -> SchedulePoint:
    """The schedule at one time, in float64 on the CPU: such a point multiplies tensors of any dtype and device."""
    return schedule.at(torch.tensor(t, dtype=torch.float64))


def vp_point(log_alpha: Tensor, f: Tensor, d_f: Tensor) -> SchedulePoint:
    """The point of a variance preserving schedule, alpha^2 + sigma^2 = 1.

    Args:
        log_alpha: log alpha(t) <= 0.
        f: its derivative alpha'/alpha.
        d_f: its second derivative f'.
    """
    alpha = log_alpha.exp()
    # expm1 keeps the digits that 1 - alpha^2 loses near t = 0, where alpha is nearly 1.
    sigma = torch.expm1(2.0 * log_alpha).abs().sqrt()
    d_alpha = alpha * f
    return SchedulePoint(
        alpha=alpha, sigma=sigma, d_alpha=d_alpha, d_sigma=-alpha * d_alpha / sigma, dd_alpha=alpha * (d_f + f**2)
    )


def add_noise(x_0: Tensor, eps: Tensor, p: SchedulePoint) -> Tensor:
    """x_t = alpha x_0 + sigma eps, for a point from ``point_for``."""
    return p.alpha * x_0 + p.sigma * eps


def velocity(m: Tensor, x: Tensor, p: SchedulePoint) -> Tensor:
    """V1: v = (sigma'/sigma) x + (alpha' - alpha sigma'/sigma) m. Finite wherever sigma > 0, also at t = 1."""
    rate = p.d_sigma / p.sigma
    return rate * x + (p.d_alpha - p.alpha * rate) * m


def ddim_step(M: Tensor, x: Tensor, p_t: SchedulePoint, p_s: SchedulePoint) -> Tensor:
    """x_s = alpha_s M + (sigma_s / sigma_t)(x_t - alpha_t M): the flow from t to s if the denoiser stayed M."""
    ratio = p_s.sigma / p_t.sigma
    return ratio * x + (p_s.alpha - ratio * p_t.alpha) * M


def score(m: Tensor, x: Tensor, p: SchedulePoint) -> Tensor:
    """V3 (Tweedie): s = (alpha m - x) / sigma^2."""
    return (p.alpha * m - x) / p.sigma**2


def target(prediction: Prediction, x_0: Tensor, eps: Tensor, p: SchedulePoint) -> Tensor:
    """What a network of this prediction type regresses on (V4)."""
    match prediction:
        case "x0":
            return x_0
        case "eps":
            return eps
        case "v":
            return p.alpha * eps - p.sigma * x_0
        case "flow":
            return eps - x_0


def denoiser(prediction: Prediction, output: Tensor, x: Tensor, p: SchedulePoint) -> Tensor:
    """V4, inverted: the denoiser m from a network's output.

    With eps-prediction m = (x - sigma output) / alpha, which is lost where alpha vanishes: there the output holds
    nothing of the data, and callers use the mean instead. The others are finite everywhere.
    """
    match prediction:
        case "x0":
            return output
        case "eps":
            return (x - p.sigma * output) / p.alpha.clamp_min(torch.finfo(x.dtype).tiny)
        case "v":
            return (p.alpha * x - p.sigma * output) / (p.alpha**2 + p.sigma**2)
        case "flow":
            return (x - p.sigma * output) / (p.alpha + p.sigma)
