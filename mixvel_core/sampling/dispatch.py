"""Dispatch: the samples that chose expert k run together through expert k."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mixvel_core.errors import SamplingError
from mixvel_core.protocols import Evaluations, Expert


def evaluate(experts: Sequence[Expert], x: Tensor, t: float, mask: Tensor) -> Evaluations:
    """Evaluates exactly the selected (sample, expert) pairs.

    An expert that nobody selected is not touched, so one that loads on demand is not loaded.

    Args:
        experts: K of them.
        x: points, (B, *data).
        t: their common time.
        mask: (B, K) bool.

    Returns:
        The evaluations, grouped by expert.
    """
    expert, sample = mask.T.nonzero(as_tuple=True)
    counts = mask.sum(0).tolist()  # the one wait for the device in a step
    parts: list[Tensor] = []
    start = 0
    for k, count in enumerate(counts):
        if count == 0:
            continue
        rows = sample[start : start + count]
        start += count
        # All rows in order: the batch itself, without a copy.
        points = x if count == len(x) else x[rows]
        m = experts[k].denoise(points, x.new_full((count,), t))
        if m.shape != points.shape:
            raise SamplingError(
                f"expert {k} returned shape {tuple(m.shape)} for points of shape {tuple(points.shape)} at t={t:.4g}"
            )
        parts.append(m)
    answers = torch.cat(parts) if parts else x[:0]
    return Evaluations(sample=sample, expert=expert, m=answers)


def first_not_finite(answers: Evaluations) -> int | None:
    """The first expert that returned something that is not finite; None if all is well."""
    bad = ~answers.m.flatten(1).isfinite().all(1)
    return int(answers.expert[bad][0]) if bool(bad.any()) else None
