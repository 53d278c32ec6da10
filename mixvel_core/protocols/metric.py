"""Metric: how far samples are from data, never without the conditions of the measurement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from attrs import field, frozen

if TYPE_CHECKING:
    import numpy as np

    from mixvel_core.protocols.data import Items
    from mixvel_core.protocols.progress import Progress


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


@runtime_checkable
class PreparedMetric(Metric, Protocol):
    """A metric that something is made for once, which may take minutes: before scores, and not before trainings."""

    def check(self, items: Items) -> None:
        """Makes nothing. Raises DataError where items like these, (n, *data), cannot be scored."""

    def prepare(self, progress: Progress) -> None:
        """Makes it, or does nothing where it is there. Raises DataError as ``score`` does."""


@runtime_checkable
class SubsetScorer(Scorer, Protocol):
    """A scorer that scores parts of one set for less than each by itself, as where features are computed once."""

    def subset_scores(self, samples: Items, subsets: Sequence[np.ndarray]) -> Sequence[Sequence[Score]]:
        """What ``scores`` gives of ``samples[rows]``, in its order, for each ``rows``, (n,) int64, in ``subsets``."""


@frozen(kw_only=True, eq=False)
class Origins:
    """Which expert made each sample, in a run whose shards have no label in common.

    ``experts``: k of each sample, (n,) int64: of the experts evaluated last, the one of the most weight.
    ``labels``: the labels of the items of shard 0..K-1.
    """

    experts: np.ndarray
    labels: Sequence[frozenset[int]]


@runtime_checkable
class OriginScorer(Scorer, Protocol):
    """A scorer that also scores samples by the experts that made them."""

    def origin_scores(self, samples: Items, origins: Origins) -> Sequence[Score]:
        """Further scores of ``samples`` (n, *data), whose experts are known."""


@runtime_checkable
class ConditionScorer(Scorer, Protocol):
    """A scorer that also scores samples by the classes that they were sampled under."""

    def class_scores(self, samples: Items, labels: np.ndarray) -> Sequence[Score]:
        """Further scores of ``samples`` (n, *data), sample i under the label ``labels[i]`` of the data, (n,) int64."""
