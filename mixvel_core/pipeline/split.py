"""A data set cut into shards, on paper: what is known before anything is written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from attrs import frozen

from mixvel_core.data.items import Chosen
from mixvel_core.errors import DataError
from mixvel_core.plugin.definition import DataUse, PartitionerUse
from mixvel_core.protocols import Data, GaussianLaw, Items, NamingPartitioner, PreparedSource, Progress
from mixvel_core.protocols.progress import Silent

_SILENT = Silent()


@frozen(kw_only=True, eq=False)
class Part:
    """One shard: ``rows`` of ``data``; ``name``: what it holds, where the partitioner gives a name."""

    data: Data
    rows: np.ndarray
    index: int
    fraction: float
    law: GaussianLaw | None
    name: str = ""

    @property
    def count(self) -> int:
        """The number of items."""
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one item, ``*data``."""
        return tuple(int(side) for side in self.data.items.shape[1:])

    @property
    def items(self) -> Items:
        """The items, (count, *data), where the data set has them."""
        return Chosen(source=self.data.items, rows=self.rows)

    @property
    def labels(self) -> np.ndarray | None:
        """The labels, (count,), if the data have any."""
        return None if self.data.labels is None else self.data.labels[self.rows]


@frozen(kw_only=True, eq=False)
class Split:
    """A data set and its K shards."""

    data: Data
    parts: tuple[Part, ...]

    @property
    def shard_of(self) -> np.ndarray:
        """The shard of each item, (n,) int64."""
        home = np.empty(len(self.data.items), np.int64)
        for part in self.parts:
            home[part.rows] = part.index
        return home


def split(data: DataUse, partitioner: PartitionerUse, seed: int, progress: Progress = _SILENT) -> Split:
    """Loads the data and assigns every item to a shard.

    Args:
        data: where the items come from.
        partitioner: how they are split.
        seed: of the partitioner's choices.
        progress: shows the preparation of data that need one.

    Raises:
        DataError: no data, or a shard without items.
    """
    loaded = _loaded(data, progress)
    built = partitioner.build()
    assigned = built.assign(loaded, seed)
    return _cut(loaded, assigned, built.names(loaded) if isinstance(built, NamingPartitioner) else ())


def uncut(data: DataUse, progress: Progress = _SILENT) -> Split:
    """All items as one shard: what one owner holds. Raises DataError where there are none."""
    loaded = _loaded(data, progress)
    return _cut(loaded, np.zeros(len(loaded.items), np.int64))


def _loaded(data: DataUse, progress: Progress) -> Data:
    source = data.build()
    if isinstance(source, PreparedSource):
        source.prepare(progress)
    return source.load()


def _cut(loaded: Data, assigned: np.ndarray, names: Sequence[str] = ()) -> Split:
    shard_of = _checked(assigned, loaded)
    shards = range(int(shard_of.max()) + 1)
    laws = _laws(loaded, shard_of)
    parts = []
    for k in shards:
        rows = np.flatnonzero(shard_of == k)
        fraction, law = laws[k] if laws is not None else (len(rows) / len(shard_of), None)
        name = names[k] if k < len(names) else ""
        parts.append(Part(data=loaded, rows=rows, index=k, fraction=fraction, law=law, name=name))
    return Split(data=loaded, parts=tuple(parts))


def _checked(shard_of: np.ndarray, data: Data) -> np.ndarray:
    """The assignment, if it gives every item a shard and every shard an item. Raises DataError."""
    if len(data.items) == 0:
        raise DataError("the data set is empty")
    if shard_of.shape != (len(data.items),) or shard_of.min() < 0:
        raise DataError(f"the partition must give each of the {len(data.items)} items a shard 0, 1, ...")
    empty = np.flatnonzero(np.bincount(shard_of) == 0)
    if len(empty):
        raise DataError(f"shard {empty[0]} is empty; ask for fewer shards or another partition")
    return shard_of


def _laws(data: Data, shard_of: np.ndarray) -> list[tuple[float, GaussianLaw]] | None:
    """pi_k and the law of each shard, where every shard is a union of whole components; None otherwise."""
    if data.law is None or data.labels is None:
        return None
    homes = [np.unique(shard_of[data.labels == j]) for j in range(len(data.law.weights))]
    if any(len(home) != 1 for home in homes):
        return None
    owner = np.array([home[0] for home in homes])
    laws = []
    for k in range(int(shard_of.max()) + 1):
        mine = owner == k
        total = float(data.law.weights[mine].sum())
        law = GaussianLaw(
            weights=data.law.weights[mine] / total,
            means=data.law.means[mine],
            covariances=data.law.covariances[mine],
        )
        laws.append((total, law))
    return laws
