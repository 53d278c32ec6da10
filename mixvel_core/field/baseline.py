"""The denoiser of a Gaussian with known mean and variances: what can be said of an expert without asking it (D3).

It is the best guess that two shared numbers a coordinate allow: exact where alpha = 0, right to first order in alpha
wherever coordinates are uncorrelated, and it moves with x.
"""

from __future__ import annotations

from torch import Tensor

from mixvel_core.protocols import SchedulePoint


def gaussian_denoiser(x: Tensor, p: SchedulePoint, mean: Tensor, variance: Tensor) -> Tensor:
    """m = mean + alpha S (x - alpha mean) / (alpha^2 S + sigma^2) with S = diag(variance); shapes broadcast.

    Where variance and sigma are both zero nothing is left to guess: the mean.
    """
    gain = p.alpha * variance / (p.alpha**2 * variance + p.sigma**2)
    return mean + gain.nan_to_num(0.0) * (x - p.alpha * mean)
