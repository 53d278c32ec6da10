"""Stage `partition`: data -> shards, each in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mixvel_core.files import replacing, write_json
from mixvel_core.protocols import GaussianLaw, Progress
from mixvel_core.recipe.dump import plain
from mixvel_core.recipe.model import Recipe
from mixvel_core.stages.shards import LAW, Shards, open_shards
from mixvel_core.stages.split import Part, Split
from mixvel_core.stages.unit import Unit, key_of


def partition_unit(recipe: Recipe, folder: Path) -> Unit:
    """The unit of this stage in the run folder ``folder``."""
    key = key_of(data=plain(recipe.data), partition=plain(recipe.partition), seed=recipe.seed)
    return Unit(folder=folder / "shards", key=key)


def stored_shards(unit: Unit) -> Shards | None:
    """The shards, if they are written and whole. Reads the files to make sure."""
    return open_shards(unit.folder, unit.digest()) if unit.is_done() else None


def partition(split: Split, unit: Unit, progress: Progress) -> Shards:
    """Writes the shards of a data set.

    Args:
        split: the data and their shards.
        unit: of this stage.
        progress: told how many items went into how many shards.
    """
    unit.clear()
    files = [file for part in split.parts for file in _write(part, unit.folder)]
    about = {
        "shards": len(split.parts),
        "count": len(split.data.items),
        "shape": list(split.parts[0].shape),
        "provenance": dict(split.data.provenance),
    }
    write_json(unit.folder / "data.json", about)
    unit.close([*files, "data.json"])
    progress.line(f"partition: {len(split.data.items)} items in {len(split.parts)} shards")
    return open_shards(unit.folder, unit.digest())


def _write(part: Part, folder: Path) -> list[str]:
    """The files of one shard, by name below ``folder``."""
    place = folder / str(part.index)
    facts = {
        "count": part.count,
        "fraction": part.fraction,
        "shape": list(part.shape),
        "labels": _histogram(part.labels),
    }
    _save_array(place / "items.npy", part.items)
    write_json(place / "shard.json", facts)
    files = [f"{part.index}/items.npy", f"{part.index}/shard.json"]
    if part.law is not None:
        _save_law(place / "law.npz", part.law)
        files.append(f"{part.index}/law.npz")
    return files


def _histogram(labels: np.ndarray | None) -> dict[str, int]:
    if labels is None:
        return {}
    values, counts = np.unique(labels, return_counts=True)
    return {str(value): int(count) for value, count in zip(values, counts, strict=True)}


def _save_array(path: Path, array: np.ndarray) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def _save_law(path: Path, law: GaussianLaw) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **{name: getattr(law, name) for name in LAW})
