"""Ratios of two things timed in one process, in turn, so that a machine that slows down slows both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter

import torch
from attrs import field, frozen


@frozen(kw_only=True)
class Row:
    """One line of the table: ``value`` of ``name``, its range over the repeats, and what it was measured under."""

    name: str
    value: float
    low: float
    high: float
    unit: str
    target: str = ""
    conditions: Mapping[str, str] = field(factory=dict)


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes, the device's own work included."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    started = perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return perf_counter() - started


def ratio(
    name: str,
    ours: Callable[[], object],
    other: Callable[[], object],
    *,
    repeats: int,
    target: str = "",
    **conditions: str,
) -> Row:
    """The time of ``ours`` divided by that of ``other``: median, smallest and largest over interleaved repeats."""
    ours(), other()  # the first calls pay for allocation and lazy imports
    # The order within a pair alternates: whoever comes second finds warmer caches.
    pairs = []
    for i in range(repeats):
        if i % 2:
            b, a = seconds(other), seconds(ours)
        else:
            a, b = seconds(ours), seconds(other)
        pairs.append(a / b)
    return Row(
        name=name,
        value=median(pairs),
        low=min(pairs),
        high=max(pairs),
        unit="times",
        target=target,
        conditions={**conditions, "repeats": str(repeats)},
    )
