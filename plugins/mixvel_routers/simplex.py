"""The nearest point of the probability simplex."""

from __future__ import annotations

import torch
from torch import Tensor


def to_simplex(v: Tensor) -> Tensor:
    """The rows of v, (B, K), moved to the nearest points with entries >= 0 and sum 1, in the Euclidean distance.

    The nearest point is max(v - theta, 0), and theta follows from the sorted entries alone (Held, Wolfe and Crowder
    1974; the form of Duchi et al. 2008).
    """
    u = v.sort(dim=1, descending=True).values
    excess = u.cumsum(1) - 1.0
    place = torch.arange(1, v.shape[1] + 1, device=v.device, dtype=v.dtype)
    last = (u * place > excess).sum(1, keepdim=True).clamp_min(1)
    theta = excess.gather(1, last - 1) / last
    return (v - theta).clamp_min(0.0)
