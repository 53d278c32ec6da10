"""Metric: how far samples are from data, never without the conditions of the measurement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from attrs import field, frozen

if TYPE_CHECKING:
    from mixvel_core.protocols.data import Items


@frozen(kw_only=True)
class Score:
    """One number with what it takes to compare it: scores with different conditions are not comparable.

    ``name``: for example "w2". ``value``: smaller is better, unless ``larger_is_better``. ``conditions``: count,
    feature space, resolution...
    """

    name: str
    value: float
    conditions: Mapping[str, str] = field(factory=dict)
    larger_is_better: bool = False


class Metric(Protocol):
    """A distance between two sets of items."""

    def score(self, samples: Items, reference: Items) -> Score:
        """The distance of ``samples`` (n, *data) from ``reference`` (m, *data), both float32 in [-1, 1].

        Either may be larger than memory: read what is needed, a block at a time.
        """


class Scorer(Protocol):
    """A metric that has read its reference."""

    def scores(self, samples: Items) -> Sequence[Score]:
        """One or more scores of ``samples`` (n, *data), float32 in [-1, 1], against that reference."""


@runtime_checkable
class ReferenceMetric(Metric, Protocol):
    """A metric that reads the reference once for all sets of samples, or that gives several scores."""

    def against(self, reference: Items) -> Scorer:
        """What scores samples against ``reference`` (m, *data), float32 in [-1, 1]."""
