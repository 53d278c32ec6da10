"""How far a router's weights are from the exact posterior, in three numbers."""

from __future__ import annotations

from attrs import frozen
from torch import Tensor

BINS = 10
LEAST = 1e-6
"""Smaller weights count as this in the cross entropy, which would be infinite for a router that rules shards out."""


@frozen(kw_only=True)
class Calibration:
    """``total_variation``: mean of sum_k abs(a_k - exact_k) / 2. ``calibration_error``: the expected calibration error
    of the expert with the most weight. ``cross_entropy``: mean of -sum_k exact_k log a_k, in nats, of which ``entropy``
    is the least possible. ``count``: points.
    """

    total_variation: float
    calibration_error: float
    cross_entropy: float
    entropy: float
    count: int


def calibration(a: Tensor, exact: Tensor) -> Calibration:
    """Compares a router's weights with the exact posterior (D2) at the same points.

    The calibration error takes points together whose largest weight lies in the same of ten equal parts of [0, 1], and
    compares the mean of these weights with the mean exact posterior of the same experts: the labels that are usually
    asked for are replaced by their expectation, which leaves no noise of labels.

    Args:
        a: (B, K), rows on the simplex.
        exact: (B, K), the same.
    """
    a, exact = a.double().cpu(), exact.double().cpu()
    most, expert = a.max(dim=1)
    truth = exact.gather(1, expert[:, None])[:, 0]
    place = (most * BINS).long().clamp_max(BINS - 1)
    gaps = a.new_zeros(BINS).index_add_(0, place, most - truth)
    return Calibration(
        total_variation=float((a - exact).abs().sum(1).mean() / 2),
        # The weight of a bin times its mean gap is the sum of its gaps over all points.
        calibration_error=float(gaps.abs().sum() / len(a)),
        cross_entropy=float(-(exact * a.clamp_min(LEAST).log()).sum(1).mean()),
        entropy=float(-(exact * exact.clamp_min(LEAST).log()).sum(1).mean()),
        count=len(a),
    )
