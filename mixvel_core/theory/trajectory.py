"""Theorem 4: how far from 0 the flow can be.

x/sigma moves with the denoiser, d(x/sigma) = m d(alpha/sigma), and norm(m) <= R.
"""

from __future__ import annotations

from torch import Tensor

from mixvel_core.protocols import NoiseSchedule


def trajectory_paper(schedule: NoiseSchedule, t: Tensor, norm_x1: float | Tensor, R: float) -> Tensor:
    """norm(x_t) <= (sigma_t/sigma_1) norm(x_1) + alpha_t R.

    The paper has sigma_t norm(x_1): the same on its own schedules, where sigma_1 = 1. Where alpha(1) is not 0 on a VP
    path sigma_1 is below 1 and the bound fails without it.
    """
    p, end = schedule.at(t.double()), schedule.at(t.double().new_ones(()))
    return p.sigma / end.sigma * norm_x1 + p.alpha * R


def trajectory_sharp(schedule: NoiseSchedule, t: Tensor, norm_x1: float | Tensor, R: float) -> Tensor:
    """norm(x_t) <= (sigma_t/sigma_1) norm(x_1) + (alpha_t - alpha_1 sigma_t/sigma_1) R; one data point attains it."""
    p, end = schedule.at(t.double()), schedule.at(t.double().new_ones(()))
    share = p.sigma / end.sigma
    return share * norm_x1 + (p.alpha - end.alpha * share) * R
