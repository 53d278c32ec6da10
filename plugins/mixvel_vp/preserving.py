"""Variance preserving: sigma^2 = 1 - alpha^2, so log alpha and its derivatives say everything."""

from __future__ import annotations

import torch
from torch import Tensor

from mixvel_core.protocols import SchedulePoint


def from_log_alpha(log_alpha: Tensor, rate: Tensor, rate_change: Tensor) -> SchedulePoint:
    """The point of a VP schedule.

    Args:
        log_alpha: log alpha(t) <= 0.
        rate: its derivative, which is the drift f = alpha'/alpha.
        rate_change: its second derivative.
    """
    alpha = log_alpha.exp()
    # expm1 keeps the digits that 1 - alpha^2 loses near t = 0, where alpha is nearly 1.
    sigma = torch.expm1(2.0 * log_alpha).abs().sqrt()
    d_alpha = alpha * rate
    return SchedulePoint(
        alpha=alpha,
        sigma=sigma,
        d_alpha=d_alpha,
        d_sigma=-alpha * d_alpha / sigma,
        dd_alpha=alpha * (rate_change + rate**2),
    )
