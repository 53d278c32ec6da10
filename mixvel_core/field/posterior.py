"""The posterior over the items of a finite data set (D2), streamed over the data in blocks.

For queries x the weights are p = softmax_i(-||x - alpha x_i||^2 / (2 s^2)). One pass keeps a running maximum, a
running sum and a running weighted mean, so memory is O(B block), whatever the number of items.
"""

from __future__ import annotations

import math

import torch
from attrs import frozen
from torch import Tensor

BLOCK = 4096


@frozen(kw_only=True)
class Posterior:
    """``log_density``: log of the mean of exp(-||x - alpha x_i||^2 / (2 s^2)), (B,). ``mean``: sum p_i x_i, (B, D)."""

    log_density: Tensor
    mean: Tensor


def posterior(x: Tensor, alpha: Tensor, s: Tensor, items: Tensor, norms: Tensor) -> Posterior:
    """D2 over all items.

    Args:
        x: queries, (B, D), from which the centre of the data times alpha has been taken.
        alpha: (B, 1).
        s: standard deviation of x around alpha x_i, (B, 1), positive.
        items: centred data, (n, D). Centring keeps float32 from cancelling large norms.
        norms: their squared norms, (n,).

    Returns:
        The density and the posterior mean (of the centred items).
    """
    top = torch.full_like(x[:, :1], -math.inf)
    total, mean = torch.zeros_like(top), torch.zeros_like(x)
    for start in range(0, len(items), BLOCK):
        block = items[start : start + BLOCK]
        # -||x - alpha x_i||^2 / (2 s^2) without the part ||x||^2 that all items share.
        logits = (alpha * (x @ block.T) - 0.5 * alpha**2 * norms[start : start + BLOCK]) / s**2
        new_top = torch.maximum(top, logits.amax(1, keepdim=True))
        shrink, p = (top - new_top).exp(), (logits - new_top).exp()
        total = total * shrink + p.sum(1, keepdim=True)
        mean = mean * shrink + p @ block
        top = new_top
    shared = 0.5 * (x**2).sum(1, keepdim=True) / s**2
    log_density = top + total.log() - math.log(len(items)) - shared
    return Posterior(log_density=log_density[:, 0], mean=mean / total)
