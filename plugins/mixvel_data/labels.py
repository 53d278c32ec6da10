"""Partition by label: one shard for each label, or for each group of labels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from attrs import frozen

from mixvel_core.errors import DataError, did_you_mean
from mixvel_core.protocols import Data
from mixvel_data.hooks import LabelsOptions


@frozen(kw_only=True)
class LabelPartitioner(LabelsOptions):
    """Shard k holds the k-th smallest label, whatever the labels are; or the labels of ``groups[k]``."""

    def assign(self, data: Data, seed: int) -> np.ndarray:
        """The shard of each item, (n,) int64. Nothing is drawn: ``seed`` does not matter.

        Raises DataError where there are no labels, a label is in no group, or no item is in a group.
        """
        return self._assigned(data)[0]

    def names(self, data: Data) -> tuple[str, ...]:
        """The labels of each shard, by their names where they have some.

        Raises DataError as ``assign`` does.
        """
        _, groups = self._assigned(data)
        known = dict(enumerate(data.label_names))
        return tuple(", ".join(known.get(label, f"label {label}") for label in group) for group in groups)

    def _assigned(self, data: Data) -> tuple[np.ndarray, tuple[tuple[int, ...], ...]]:
        """The shard of each item, and the labels of each shard."""
        if data.labels is None:
            remedy = data.label_remedy or "take a source that has them"
            raise DataError(f"partition labels: the data have no labels; {remedy}, or partition by kmeans")
        found, place = np.unique(data.labels, return_inverse=True)
        groups: tuple[tuple[int, ...], ...] = tuple((int(label),) for label in found)
        if self.groups is not None:
            groups = tuple(tuple(_number(label, data.label_names) for label in group) for group in self.groups)
            if len(set(chain(*groups))) < len(list(chain(*groups))):
                raise DataError("partition labels: a label stands in `groups` twice, by its name and by its number")
        shard_of = {label: k for k, group in enumerate(groups) for label in group}
        if ungrouped := [int(label) for label in found if int(label) not in shard_of]:
            raise DataError(
                f"partition labels: {_listed(ungrouped)} of the data stands in no group; add it to one of `groups`"
            )
        shard_of_found = np.array([shard_of[int(label)] for label in found], dtype=np.int64)
        for k, group in enumerate(groups):
            if k not in shard_of_found:
                raise DataError(
                    f"partition labels: shard {k} is empty, no item has {_listed(group)}; take it out of `groups`"
                )
        return shard_of_found[place], groups


def _number(label: int | str, names: Sequence[str]) -> int:
    """The label of a class. Raises DataError where none has the name."""
    if isinstance(label, int):
        return label
    if label not in names:
        known = ", ".join(names[:20]) or "none; give the source `label_names`"
        raise DataError(
            f"partition labels: no class is called {label!r}{did_you_mean(label, names)}  (classes: {known})"
        )
    return list(names).index(label)


def _listed(labels: Sequence[int]) -> str:
    few = ", ".join(str(label) for label in labels[:8])
    return f"label {few}" + (", ..." if len(labels) > 8 else "")
