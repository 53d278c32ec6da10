"""Sums of numbers that are only known by their logarithms."""

from __future__ import annotations

import math

LN10 = math.log(10.0)


def ln(value: float) -> float:
    """ln of a number of at least 0; minus infinity at 0."""
    return math.log(value) if value > 0 else -math.inf


def log_sum(*logs: float) -> float:
    """ln of the sum of exp(l), without overflow."""
    largest = max(logs)
    if largest == -math.inf or largest == math.inf:
        return largest
    return largest + math.log(sum(math.exp(one - largest) for one in logs))
