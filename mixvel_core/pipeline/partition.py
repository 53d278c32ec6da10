"""Stage `partition`: data -> shards, on paper first (``Split``), then each in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

import numpy as np
from attrs import frozen

from mixvel_core.artifacts.arrays import write_array, write_arrays, write_npy_header
from mixvel_core.artifacts.artifact import Artifact, key_of
from mixvel_core.artifacts.files import replacing, write_json
from mixvel_core.data.conditions import ConditionColumn, condition_columns, facts_of_specs
from mixvel_core.data.items import Chosen, spans
from mixvel_core.data.labels import class_counts
from mixvel_core.data.parquet_items import STREAM, shard_writer, write_stream
from mixvel_core.errors import DataError
from mixvel_core.machine import printable
from mixvel_core.pipeline.data_identity import IDENTITY
from mixvel_core.pipeline.shards import CLASSES, LAW, Shards, condition_file, open_shards
from mixvel_core.plugin.definition import DataUse, PartitionerUse
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
from mixvel_core.recipe.dump import keyed
from mixvel_core.recipe.model import Recipe

_MOST_SIZES = 12
"""Shards whose numbers of items are listed."""


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


def partition_artifact(recipe: Recipe, folder: Path) -> Artifact:
    """The artifact of this stage in the run folder ``folder``."""
    condition = {} if recipe.condition is None else {"condition": dict(recipe.condition)}
    key = key_of(data=keyed(recipe.data), partition=keyed(recipe.partition), seed=recipe.seed, **condition)
    return Artifact(folder=folder / "shards", key=key)


def stored_shards(artifact: Artifact) -> Shards | None:
    """The shards, if they are written and whole. Reads the files to make sure."""
    return open_shards(artifact.folder, artifact.digest()) if artifact.is_done() else None


def partition(split: Split, artifact: Artifact, progress: Progress, identity: str | None = None) -> Shards:
    """Writes the shards of a data set.

    Args:
        split: the data and their shards.
        artifact: of this stage.
        progress: a bar over items that are many blocks; at the end a line with the numbers of items and shards, and the
            classes with theirs.
        identity: of the data, noted beside the shards.
    """
    artifact.clear()
    files = _write_items(split, artifact, progress)
    files += [file for part in split.parts for file in _write_facts(part, artifact.folder)]
    about = {
        "shards": len(split.parts),
        "count": len(split.data.items),
        "shape": list(split.parts[0].shape),
        "provenance": {key: printable(value) for key, value in split.data.provenance.items()},
        "label_names": [printable(name) for name in split.data.label_names],
    }
    write_json(artifact.folder / "data.json", about)
    artifact.commit([*files, "data.json"], **({} if identity is None else {IDENTITY: identity}))
    classes = "" if split.data.labels is None else f"; {class_counts(split.data.labels, split.data.label_names)}"
    sizes = _sizes(split)
    progress.line(f"partition: {len(split.data.items)} items in {len(split.parts)} shards{sizes}{classes}")
    return open_shards(artifact.folder, artifact.digest())


def _sizes(split: Split) -> str:
    """The items of each shard, where the classes behind them do not show them: as in `` of 30, 6``."""
    counts = [part.count for part in split.parts]
    classes = [] if split.data.labels is None else np.unique(split.data.labels, return_counts=True)[1].tolist()
    if sorted(counts) == sorted(classes) or len(counts) > _MOST_SIZES:
        return ""
    return " of " + ", ".join(map(str, counts))


def _write_items(split: Split, artifact: Artifact, progress: Progress) -> list[str]:
    """The items of all shards, in one pass over the data: a block of them is all that is ever in memory."""
    items, shard_of = split.data.items, split.shard_of
    blocks = list(spans(items))
    bar = progress.task("partition", len(items), "items") if len(blocks) > 1 else nullcontext()
    with ExitStack() as open_files, bar as shown:
        stores = {part.index: open_files.enter_context(writing_items(part, artifact)) for part in split.parts}
        for first, last in blocks:
            block, homes = items[first:last], shard_of[first:last]
            for k in np.unique(homes).tolist():
                stores[k][0](block[homes == k])
            if shown is not None:
                shown.update(last)
    return [file for _, files in stores.values() for file in files]


@contextmanager
def writing_items(part: Part, artifact: Artifact) -> Iterator[tuple[Callable[[np.ndarray], object], list[str]]]:
    """Where the items of one shard go: a .npy file in the run folder, or Parquet files where the data ask for that.

    Elsewhere the shards of different recipes lie side by side, each below the key that the recipe gives the artifact.

    Yields:
        What writes the next items, and a list of the files below the artifact's folder, which is filled when the block
        ends well.
    """
    files: list[str] = []
    home, streaming = artifact.folder / str(part.index), part.data.streaming
    if streaming is None:
        with replacing(home / "items.npy") as temporary, temporary.open("wb") as file:
            write_npy_header(file, part.items.dtype, (part.count, *part.shape))
            yield lambda block: file.write(block.tobytes()), files
        files.append(f"{part.index}/items.npy")
        return
    place = None if streaming.store is None else f"{streaming.store.rstrip('/')}/{artifact.key}/{part.index}"
    with shard_writer(place or str(home), part.shape, part.items.dtype, streaming.row_group) as writer:
        yield writer.write, files
    write_stream(home, place, writer.column, writer.files, streaming.window)
    listed = [] if place else list(writer.files)
    files.extend(f"{part.index}/{name}" for name in [*listed, STREAM])


def _write_facts(part: Part, folder: Path) -> list[str]:
    """What is known of one shard; the files of it, by name below ``folder``."""
    place = folder / str(part.index)
    labels, counts = np.unique(np.empty(0) if part.labels is None else part.labels, return_counts=True)
    columns = [(name, np.asarray(values)) for name, values in part.data.attributes.items()]
    facts = {
        "count": part.count,
        "fraction": part.fraction,
        "shape": list(part.shape),
        "name": part.name,
        "labels": {str(label): int(n) for label, n in zip(labels, counts, strict=True)},
        "attributes": {name: int(values[part.rows].sum()) for name, values in columns if values.dtype == bool},
        **facts_of_specs(part.conditions),
    }
    write_json(place / "shard.json", facts)
    files = [f"{part.index}/shard.json"]
    for name, items in part.condition_values().items():
        write_array(place / condition_file(name), items[:])
        files.append(f"{part.index}/{condition_file(name)}")
    if part.law is not None:
        classes = {} if part.law.classes is None else {CLASSES: part.law.classes}
        write_arrays(place / "law.npz", {name: getattr(part.law, name) for name in LAW} | classes)
        files.append(f"{part.index}/law.npz")
    return files
