"""Stage `partition`: data -> shards, each in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from mixvel_core.artifacts.arrays import write_array, write_arrays, write_npy_header
from mixvel_core.artifacts.artifact import Artifact, key_of
from mixvel_core.artifacts.files import replacing, write_json
from mixvel_core.data.conditions import condition_file, facts_of_specs
from mixvel_core.data.items import spans
from mixvel_core.data.labels import class_counts
from mixvel_core.data.parquet_items import STREAM, shard_writer, write_stream
from mixvel_core.machine import printable
from mixvel_core.pipeline.codecs import CODEC, codec_of
from mixvel_core.pipeline.data_identity import IDENTITY
from mixvel_core.pipeline.shards import CLASSES, LAW, Shards, open_shards
from mixvel_core.pipeline.splits import Part, Split
from mixvel_core.protocols import (
    Progress,
)
from mixvel_core.recipe.dump import keyed
from mixvel_core.recipe.model import Recipe

_ENCODED = 1 << 20
"""Bytes of latents that are made between two movements of the bar: a network takes its time."""
_MOST_SIZES = 12
"""Shards whose numbers of items are listed."""


def partition_artifact(recipe: Recipe, folder: Path) -> Artifact:
    """The artifact of this stage in the run folder ``folder``."""
    later = {} if recipe.condition is None else {"condition": dict(recipe.condition)}
    if (codec := codec_of(recipe)) is not None:
        later["codec"] = keyed(codec)
    key = key_of(data=keyed(recipe.data), partition=keyed(recipe.partition), seed=recipe.seed, **later)
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
    about: dict[str, Any] = {
        "shards": len(split.parts),
        "count": len(split.data.items),
        "shape": list(split.parts[0].shape),
        "provenance": {key: printable(value) for key, value in split.data.provenance.items()},
        "label_names": [printable(name) for name in split.data.label_names],
    }
    if split.codec is not None:
        about |= split.codec.store(artifact.folder, about["provenance"], progress)
        files.append(CODEC)
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
    blocks = list(spans(items) if split.codec is None else spans(items, _ENCODED))
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
