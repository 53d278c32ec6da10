"""Metric: how far samples are from data, never without the conditions of the measurement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from attrs import field, frozen

if TYPE_CHECKING:
    import numpy as np


@frozen(kw_only=True)
class Score:
    """One number with what it takes to compare it: scores with different conditions are not comparable.

    ``name``: for example "w2". ``value``: smaller is better. ``conditions``: count, feature space, resolution...
    """

    name: str
    value: float
    conditions: Mapping[str, str] = field(factory=dict)


class Metric(Protocol):
    """A distance between two sets of items."""

    def score(self, samples: np.ndarray, reference: np.ndarray) -> Score:
        """The distance of ``samples`` (n, *data) from ``reference`` (m, *data), both float32 in [-1, 1]."""
        ...
