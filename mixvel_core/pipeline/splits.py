"""Data in shards on paper, before anything is written: which items each shard has, and by which codec it sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from attrs import evolve, frozen

from mixvel_core.data.conditions import ConditionColumn, condition_columns
from mixvel_core.data.items import Chosen
from mixvel_core.errors import DataError
from mixvel_core.pipeline.codecs import FittedCodec, fit_codec
from mixvel_core.plugin.definition import CodecUse, DataUse, PartitionerUse
from mixvel_core.protocols import (
    CLASS,
    ConditionSpec,
    Data,
    GaussianLaw,
    Items,
    NamingPartitioner,
    PreparedSource,
    Progress,
)
from mixvel_core.protocols.progress import SILENT


@frozen(kw_only=True, eq=False)
class Part:
    """One shard: ``rows`` of ``data``; ``name``: what it holds, where the partitioner gives a name.

    ``columns``: the conditions of all items of the data.
    """

    data: Data
    rows: np.ndarray
    index: int
    fraction: float
    law: GaussianLaw | None
    name: str = ""
    columns: tuple[ConditionColumn, ...] = ()

    @property
    def count(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(side) for side in self.data.items.shape[1:])

    @property
    def items(self) -> Items:
        return Chosen(source=self.data.items, rows=self.rows)

    @property
    def conditions(self) -> tuple[ConditionSpec, ...]:
        """What is known of each item."""
        return tuple(column.spec for column in self.columns)

    def condition_values(self) -> dict[str, Items]:
        """The conditions of its items, by name."""
        return {column.spec.name: Chosen(source=column.values, rows=self.rows) for column in self.columns}

    @property
    def labels(self) -> np.ndarray | None:
        """The labels, (count,), if the data have any."""
        return None if self.data.labels is None else self.data.labels[self.rows]


@frozen(kw_only=True, eq=False)
class Split:
    """A data set and its K shards. ``codec``: what makes latents, which its items are, of the data's; None: items."""

    data: Data
    parts: tuple[Part, ...]
    codec: FittedCodec | None = None

    def encoded(self, use: CodecUse, seed: int) -> Split:
        """The same shards of the items' latents, whose laws are not known, with the codec that makes them."""
        codec = fit_codec(use, self.data.items, seed)
        data = evolve(self.data, items=codec.latents, law=None)
        parts = tuple(evolve(part, data=data, law=None) for part in self.parts)
        return Split(data=data, parts=parts, codec=codec)

    @property
    def shard_of(self) -> np.ndarray:
        """The shard of each item, (n,) int64."""
        home = np.empty(len(self.data.items), np.int64)
        for part in self.parts:
            home[part.rows] = part.index
        return home


def split(
    data: DataUse,
    partitioner: PartitionerUse | None,
    seed: int,
    progress: Progress = SILENT,
    conditions: Mapping[str, str] | None = None,
) -> Split:
    """Loads the data and assigns every item to a shard.

    Args:
        data: where the items come from.
        partitioner: how they are split; None makes one shard of all: what one owner holds.
        seed: of the partitioner's choices.
        progress: shows the preparation of data that need one, and a line of the files that were read and left out.
        conditions: where those of the items come from, by name (see ``condition_columns``).

    Raises:
        DataError: no data, a shard without items, or no such conditions.
    """
    source = data.build()
    if isinstance(source, PreparedSource):
        source.prepare(progress)
    loaded = source.load()
    if "files" in loaded.provenance:
        progress.line(f"data: {loaded.provenance['files']}")
    columns = condition_columns(loaded, conditions)
    if partitioner is None:
        return _cut(loaded, np.zeros(len(loaded.items), np.int64), columns)
    built = partitioner.build()
    assigned = built.assign(loaded, seed)
    return _cut(loaded, assigned, columns, built.names(loaded) if isinstance(built, NamingPartitioner) else ())


def _cut(loaded: Data, shard_of: np.ndarray, columns: tuple[ConditionColumn, ...], names: Sequence[str] = ()) -> Split:
    """Raises DataError where the assignment does not give every item a shard and every shard an item."""
    if len(loaded.items) == 0:
        raise DataError("the data set is empty")
    if shard_of.shape != (len(loaded.items),) or shard_of.min() < 0:
        raise DataError(f"the partition must give each of the {len(loaded.items)} items a shard 0, 1, ...")
    empty = np.flatnonzero(np.bincount(shard_of) == 0)
    if len(empty):
        raise DataError(f"shard {empty[0]} is empty; ask for fewer shards or another partition")
    laws = _laws(loaded, shard_of, columns)
    parts = []
    for k in range(int(shard_of.max()) + 1):
        rows = np.flatnonzero(shard_of == k)
        fraction, law = laws[k] if laws is not None else (len(rows) / len(shard_of), None)
        name = names[k] if k < len(names) else ""
        parts.append(Part(data=loaded, rows=rows, index=k, fraction=fraction, law=law, name=name, columns=columns))
    return Split(data=loaded, parts=tuple(parts))


def _laws(
    data: Data, shard_of: np.ndarray, columns: Sequence[ConditionColumn]
) -> list[tuple[float, GaussianLaw]] | None:
    """pi_k and the law of each shard, where every shard is a union of whole components; None otherwise."""
    if data.law is None or data.labels is None:
        return None
    homes = [np.unique(shard_of[data.labels == j]) for j in range(len(data.law.weights))]
    if any(len(home) != 1 for home in homes):
        return None
    owner = np.array([home[0] for home in homes])
    classes = _classes_of_components(data.labels, len(homes), columns)
    laws = []
    for k in range(int(shard_of.max()) + 1):
        mine = owner == k
        total = float(data.law.weights[mine].sum())
        law = GaussianLaw(
            weights=data.law.weights[mine] / total,
            means=data.law.means[mine],
            covariances=data.law.covariances[mine],
            classes=None if classes is None else classes[mine],
        )
        laws.append((total, law))
    return laws


def _classes_of_components(labels: np.ndarray, count: int, columns: Sequence[ConditionColumn]) -> np.ndarray | None:
    """The class of the items of each component, (J,) int64; None where they have none, or not one a component.

    ``labels``: the component of each item. ``count``: J.
    """
    values = next((np.asarray(column.values[:]) for column in columns if column.spec.name == CLASS), None)
    if values is None:
        return None
    found = [np.unique(values[labels == j]) for j in range(count)]
    return np.array([one[0] for one in found]) if all(len(one) == 1 for one in found) else None
