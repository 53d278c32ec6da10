"""What selectors of one expert a step share: a choice as a mask, and its answer taken as it is."""

from __future__ import annotations

import torch
from torch import Tensor

from mixvel_core.field.mixture import weighted_sum
from mixvel_core.protocols import Evaluations


def one_hot(choice: Tensor, a: Tensor) -> Tensor:
    """The mask, (B, K), of one chosen expert per sample, ``choice`` (B,)."""
    return torch.zeros_like(a, dtype=torch.bool).scatter_(1, choice[:, None], True)


def taken_whole(a: Tensor, answers: Evaluations) -> Tensor:
    """M is the answer of the one expert that was asked: weight 1, not a_k."""
    return weighted_sum(torch.ones_like(a), answers)


def categorical(a: Tensor, u: Tensor) -> Tensor:
    """k ~ Categorical(a) by inversion of the cumulative sum, (B,); u uniform in (0, 1), (B,)."""
    cumulative = a.double().cumsum(1)
    # Compared with u times the sum: rows that sum to 1 only up to rounding still choose a valid k.
    passed = (cumulative < u.to(cumulative)[:, None] * cumulative[:, -1:]).sum(1)
    return passed.clamp_max(a.shape[1] - 1)
