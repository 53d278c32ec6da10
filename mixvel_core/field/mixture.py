"""D1, the mixture's denoiser from those of its experts; D3 for one Gaussian; mean and variance of a shard's items.

D3 of a shard's mean and variance is the best guess of its denoiser that two numbers a coordinate allow: exact where
alpha = 0, and right to first order in alpha wherever coordinates are uncorrelated.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mixvel_core.field.conversions import expand
from mixvel_core.field.scale import to_float
from mixvel_core.protocols import Evaluations, Items, Moments, SchedulePoint


def weighted_sum(weights: Tensor, answers: Evaluations) -> Tensor:
    """M = sum over the evaluations of weight times answer, (B, *data).

    Args:
        weights: (B, K); only the entries that were evaluated are used.
        answers: the evaluations.
    """
    scale = weights[answers.sample, answers.expert]
    M = answers.m.new_zeros((len(weights), *answers.m.shape[1:]))
    return M.index_add_(0, answers.sample, expand(scale, answers.m) * answers.m)


def gaussian_denoiser(x: Tensor, p: SchedulePoint, mean: Tensor, variance: Tensor) -> Tensor:
    """m = mean + alpha S (x - alpha mean) / (alpha^2 S + sigma^2) with S = diag(variance); shapes broadcast.

    Where variance and sigma are both zero it is the mean.
    """
    gain = p.alpha * variance / (p.alpha**2 * variance + p.sigma**2)
    return mean + gain.nan_to_num(0.0) * (x - p.alpha * mean)


def item_moments(items: Items, block: int = 1024) -> Moments:
    """Mean and variance of items (n, *data), in float64 a block at a time: they may not fit in memory as floats."""
    mean = np.zeros(items.shape[1:], np.float64)
    for start in range(0, len(items), block):
        mean += to_float(items[start : start + block]).sum(axis=0, dtype=np.float64) / len(items)
    variance = np.zeros_like(mean)
    for start in range(0, len(items), block):
        # A second pass, around the mean: differences of large sums of squares would lose what is small.
        variance += ((to_float(items[start : start + block]) - mean) ** 2).sum(axis=0) / len(items)
    return Moments(
        mean=torch.from_numpy(mean.astype(np.float32)), variance=torch.from_numpy(variance.astype(np.float32))
    )
