"""Stage `partition`: data -> shards, each in a folder of its own."""

from __future__ import annotations

from contextlib import ExitStack, nullcontext
from pathlib import Path

import numpy as np

from mixvel_core.artifacts.arrays import write_arrays
from mixvel_core.artifacts.artifact import Artifact, key_of
from mixvel_core.artifacts.files import write_json
from mixvel_core.data.items import spans
from mixvel_core.pipeline.shards import LAW, Shards, open_shards, writing_items
from mixvel_core.pipeline.split import Part, Split
from mixvel_core.protocols import Progress
from mixvel_core.recipe.dump import plain
from mixvel_core.recipe.model import Recipe


def partition_artifact(recipe: Recipe, folder: Path) -> Artifact:
    """The artifact of this stage in the run folder ``folder``."""
    key = key_of(data=plain(recipe.data), partition=plain(recipe.partition), seed=recipe.seed)
    return Artifact(folder=folder / "shards", key=key)


def stored_shards(artifact: Artifact) -> Shards | None:
    """The shards, if they are written and whole. Reads the files to make sure."""
    return open_shards(artifact.folder, artifact.digest()) if artifact.is_done() else None


def partition(split: Split, artifact: Artifact, progress: Progress) -> Shards:
    """Writes the shards of a data set.

    Args:
        split: the data and their shards.
        artifact: of this stage.
        progress: a bar over items that are many blocks; at the end a line with the numbers of items and shards.
    """
    artifact.clear()
    files = _write_items(split, artifact, progress)
    files += [file for part in split.parts for file in _write_facts(part, artifact.folder)]
    about = {
        "shards": len(split.parts),
        "count": len(split.data.items),
        "shape": list(split.parts[0].shape),
        "provenance": dict(split.data.provenance),
        "label_names": list(split.data.label_names),
    }
    write_json(artifact.folder / "data.json", about)
    artifact.commit([*files, "data.json"])
    progress.line(f"partition: {len(split.data.items)} items in {len(split.parts)} shards")
    return open_shards(artifact.folder, artifact.digest())


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


def _write_facts(part: Part, folder: Path) -> list[str]:
    """What is known of one shard; the files of it, by name below ``folder``."""
    place = folder / str(part.index)
    facts = {
        "count": part.count,
        "fraction": part.fraction,
        "shape": list(part.shape),
        "name": part.name,
        "labels": _histogram(part.labels),
        "attributes": _flags(part),
    }
    write_json(place / "shard.json", facts)
    files = [f"{part.index}/shard.json"]
    if part.law is not None:
        write_arrays(place / "law.npz", {name: getattr(part.law, name) for name in LAW})
        files.append(f"{part.index}/law.npz")
    return files


def _histogram(labels: np.ndarray | None) -> dict[str, int]:
    if labels is None:
        return {}
    values, counts = np.unique(labels, return_counts=True)
    return {str(value): int(count) for value, count in zip(values, counts, strict=True)}


def _flags(part: Part) -> dict[str, int]:
    """How many items have each attribute that one has or has not."""
    columns = {name: np.asarray(values) for name, values in part.data.attributes.items()}
    return {name: int(values[part.rows].sum()) for name, values in columns.items() if values.dtype == bool}
