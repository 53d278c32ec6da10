"""Stage `partition`: data -> shards, each in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mixvel_core.errors import DataError
from mixvel_core.files import replacing, write_json
from mixvel_core.protocols import Data, GaussianLaw, Progress
from mixvel_core.recipe.dump import plain
from mixvel_core.recipe.use import DataUse, PartitionerUse
from mixvel_core.stages.shards import LAW, Shards, open_shards
from mixvel_core.stages.unit import Unit, key_of


def partition_unit(data: DataUse, partitioner: PartitionerUse, seed: int, folder: Path) -> Unit:
    """The unit of this stage."""
    return Unit(folder=folder, key=key_of(data=plain(data), partition=plain(partitioner), seed=seed))


def partition(data: DataUse, partitioner: PartitionerUse, seed: int, folder: Path, progress: Progress) -> Shards:
    """Loads the data, assigns every item to a shard, and writes the shards.

    Args:
        data: where the items come from.
        partitioner: how they are split.
        seed: of the partitioner's choices.
        folder: ``shards/`` of the run.
        progress: told how many items went into how many shards.

    Raises:
        DataError: no data, or a shard without items.
    """
    unit = partition_unit(data, partitioner, seed, folder)
    if not unit.is_done():
        loaded = data.build().load()
        shard_of = check_assignment(partitioner.build().assign(loaded, seed), loaded)
        files = _write(loaded, shard_of, folder)
        unit.close(files)
        progress.line(f"partition: {len(loaded.items)} items in {int(shard_of.max()) + 1} shards")
    return open_shards(folder, unit.key)


def check_assignment(shard_of: np.ndarray, data: Data) -> np.ndarray:
    """The assignment, if it gives every item a shard and every shard an item. Raises DataError."""
    if shard_of.shape != (len(data.items),) or (len(shard_of) and shard_of.min() < 0):
        raise DataError(f"the partition must give each of the {len(data.items)} items a shard 0, 1, ...")
    if len(shard_of) == 0:
        raise DataError("the data set is empty")
    empty = np.flatnonzero(np.bincount(shard_of) == 0)
    if len(empty):
        raise DataError(f"shard {empty[0]} is empty; ask for fewer shards or another partition")
    return shard_of


def _write(data: Data, shard_of: np.ndarray, folder: Path) -> list[str]:
    files = []
    laws = _laws(data, shard_of)
    for k in range(int(shard_of.max()) + 1):
        rows = np.flatnonzero(shard_of == k)
        place = folder / str(k)
        _save_array(place / "items.npy", data.items[rows])
        law = laws[k] if laws is not None else None
        fraction = len(rows) / len(shard_of)
        files += [f"{k}/items.npy", f"{k}/shard.json"]
        if law is not None:
            fraction, exact = law
            with replacing(place / "law.npz") as temporary, temporary.open("wb") as file:
                np.savez(file, **{name: getattr(exact, name) for name in LAW})
            files.append(f"{k}/law.npz")
        write_json(
            place / "shard.json",
            {
                "count": len(rows),
                "fraction": fraction,
                "shape": list(data.items.shape[1:]),
                "labels": _histogram(data.labels, rows),
            },
        )
    write_json(
        folder / "data.json",
        {
            "shards": int(shard_of.max()) + 1,
            "count": len(data.items),
            "shape": list(data.items.shape[1:]),
            "provenance": dict(data.provenance),
        },
    )
    return [*files, "data.json"]


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


def _histogram(labels: np.ndarray | None, rows: np.ndarray) -> dict[str, int]:
    if labels is None:
        return {}
    values, counts = np.unique(labels[rows], return_counts=True)
    return {str(value): int(count) for value, count in zip(values, counts, strict=True)}


def _save_array(path: Path, array: np.ndarray) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)
