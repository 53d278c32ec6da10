"""2M: DDIM with the denoiser extrapolated to the middle of the step (DPM-Solver++(2M), Lu et al. 2022).

With lambda = log(alpha/sigma): M* = M_n + (M_n - M_{n-1}) / (2 r), r = (lambda_n - lambda_{n-1}) / (lambda_{n+1} -
lambda_n), then the DDIM step with M*.
"""

from __future__ import annotations

import math

from attrs import frozen
from torch import Tensor

from mixvel_core.field.conversions import at_time
from mixvel_core.protocols import Field, NoiseSchedule
from mixvel_routed.ddim import hold


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
