"""Partition by attributes: a shard for each combination of their values, rare combinations merged into near ones."""

from __future__ import annotations

from collections.abc import Sequence
from operator import ne

import numpy as np
from attrs import frozen

from mixvel_core.errors import DataError, did_you_mean
from mixvel_core.protocols import Data
from mixvel_data.hooks import AttributesOptions

_MOST = 1024
"""Combinations; more of them come of attributes that are measurements, and no attributes of classes."""


@frozen(kw_only=True)
class _Group:
    """Combinations that share a shard. ``own``: the one that gives it its name; ``merged``: with their counts."""

    own: tuple[int, ...]
    count: int
    merged: tuple[tuple[tuple[int, ...], int], ...] = ()


@frozen(kw_only=True)
class AttributePartitioner(AttributesOptions):
    """Shard k holds the k-th combination of the values of ``attributes``, the first of them counting most.

    A combination with fewer items than ``smallest`` (a number of items, or below 1 a part of all) is rare. The rarest
    one is merged into the combination that differs in the fewest attributes, among those into the largest, until none
    is rare or one is left; ties go to the first combination.
    """

    def assign(self, data: Data, seed: int) -> np.ndarray:
        """The shard of each item, (n,) int64. Nothing is drawn: ``seed`` does not matter.

        Raises DataError where the data lack an attribute, or it is no flag and no whole number.
        """
        found, place, groups = self._grouped(data)
        home = {own: k for k, group in enumerate(groups) for own in (group.own, *(c for c, _ in group.merged))}
        shards: np.ndarray = np.array([home[combination] for combination in found], dtype=np.int64)[place]
        return shards

    def names(self, data: Data) -> tuple[str, ...]:
        """The combination of each shard, and what was merged into it.

        Raises DataError as ``assign`` does.
        """
        flags = [self._column(data, name).dtype == bool for name in self.attributes]
        _, _, groups = self._grouped(data)
        return tuple(self._name(group, flags) for group in groups)

    def _grouped(self, data: Data) -> tuple[list[tuple[int, ...]], np.ndarray, list[_Group]]:
        """The combinations there are, in order; the one of each item; and the groups, in the order of shards."""
        rows = np.stack([self._column(data, name).astype(np.int64) for name in self.attributes], axis=1)
        unique, place, counts = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
        if len(unique) > _MOST:
            raise DataError(
                f"partition attributes: {len(unique)} combinations of {', '.join(self.attributes)}; "
                f"name fewer attributes, {_MOST} combinations are the most"
            )
        found = [tuple(row) for row in unique.tolist()]
        threshold = self.smallest if self.smallest >= 1 else self.smallest * len(rows)
        groups = [_Group(own=own, count=int(count)) for own, count in zip(found, counts, strict=True)]
        return found, place.reshape(-1), merged(groups, threshold)

    def _column(self, data: Data, name: str) -> np.ndarray:
        if not data.attributes:
            raise DataError("partition attributes: the data have no attributes; take a source that has them")
        if name not in data.attributes:
            hint = did_you_mean(name, data.attributes) or f"; they have {', '.join(data.attributes)}"
            raise DataError(f"partition attributes: the data have no attribute {name!r}{hint}")
        values = np.asarray(data.attributes[name])
        if values.dtype.kind not in "biu":
            raise DataError(f"partition attributes: {name} holds {values.dtype} values, no flags and no whole numbers")
        return values

    def _name(self, group: _Group, flags: Sequence[bool]) -> str:
        others = "; ".join(f"{self._words(own, flags)} ({count} items)" for own, count in group.merged)
        return self._words(group.own, flags) + (f"; merged into it: {others}" if others else "")

    def _words(self, combination: tuple[int, ...], flags: Sequence[bool]) -> str:
        parts = zip(self.attributes, combination, flags, strict=True)
        return ", ".join(
            (name if value else f"not {name}") if is_flag else f"{name} {value}" for name, value, is_flag in parts
        )


def merged(groups: Sequence[_Group], threshold: float) -> list[_Group]:
    """The groups, the rare ones merged as AttributePartitioner says."""
    left = list(groups)
    while len(left) > 1:
        rare = min(left, key=lambda group: (group.count, group.own))
        if rare.count >= threshold:
            break
        left.remove(rare)
        near = min(left, key=lambda group: (sum(map(ne, group.own, rare.own)), -group.count, group.own))
        own_count = rare.count - sum(count for _, count in rare.merged)
        together = (*near.merged, (rare.own, own_count), *rare.merged)
        left[left.index(near)] = _Group(own=near.own, count=near.count + rare.count, merged=together)
    return left
