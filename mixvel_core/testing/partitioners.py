"""Checks of what the protocol requires of a Partitioner."""

from __future__ import annotations

import numpy as np

from mixvel_core.errors import ConformanceError, MixvelError
from mixvel_core.protocols import Data, Partitioner
from mixvel_core.testing.check import require
from mixvel_core.testing.problems import SmallProblem, images, usable, vectors


def shape(partitioner: Partitioner) -> None:
    """assign gives every item one shard: (n,) int64."""
    for data, found in _assigned(partitioner):
        n = len(data.items)
        require(
            isinstance(found, np.ndarray) and found.shape == (n,),
            f"{n} items are given shards of shape {getattr(found, 'shape', type(found).__name__)}",
            "return one shard for each item, in the order of the items",
        )
        require(found.dtype == np.int64, f"shards are {found.dtype}", "shards.astype(np.int64)")


def shards(partitioner: Partitioner) -> None:
    """Shards are numbered 0..K-1, and none is empty."""
    for _, found in _assigned(partitioner):
        least = int(found.min())
        require(least >= 0, f"an item is in shard {least}", "number shards from 0; every item belongs to one")
        counts = np.bincount(found.astype(np.int64))
        empty = np.flatnonzero(counts == 0)
        fix = "number the shards without gaps, and raise DataError where fewer items than shards are left"
        require(len(empty) == 0, f"shard {int(empty[0]) if len(empty) else 0} of {len(counts)} is empty", fix)


def repeatable(partitioner: Partitioner) -> None:
    """The same data and seed give the same shards, whatever other generators do."""
    before = np.random.get_state()
    try:
        np.random.seed(1)
        first = _assigned(partitioner)
        np.random.seed(2)
        second = _assigned(partitioner)
    finally:
        np.random.set_state(before)
    for (_, one), (_, other) in zip(first, second, strict=True):
        moved = int((one != other).sum()) if one.shape == other.shape else len(one)
        fix = "draw from np.random.default_rng(seed) or mixvel_core.randomness alone"
        require(moved == 0, f"the same seed puts {moved} of {len(one)} items elsewhere the second time", fix)


def arguments(partitioner: Partitioner) -> None:
    """The data are left alone; they may be a file that cannot be written."""
    for problem in (vectors(), images()):
        name, data = problem.name, _data(problem)
        items, labels = np.array(data.items[:]), np.array(data.labels)
        try:
            partitioner.assign(data, 0)
        except MixvelError:
            continue
        except ValueError as error:
            if "read-only" not in str(error):
                raise
            raise ConformanceError(
                f"{name}: it writes into the data ({error})", "copy what you want to change: np.array(data.items[:])"
            ) from None
        same = bool((items == data.items[:]).all() and (labels == data.labels).all())
        require(same, f"{name}: items or labels were edited in place", "copy what you want to change")


def _assigned(partitioner: Partitioner) -> list[tuple[Data, np.ndarray]]:
    return usable(
        (vectors(), images()),
        lambda problem: (_data(problem), partitioner.assign(_data(problem), 7)),
        "can split none of the kit's data",
        "let example() split images or vectors with labels 0 to 3 and an attribute `group` of two values",
    )


def _data(problem: SmallProblem) -> Data:
    items = np.concatenate([shard.items[:] for shard in problem.shards])
    labels = np.arange(len(items), dtype=np.int64) % 4
    groups = np.arange(len(items), dtype=np.int64) % 2
    for array in (items, labels, groups):
        array.setflags(write=False)
    return Data(items=items, labels=labels, attributes={"group": groups}, provenance={"source": problem.name})


CHECKS = (shape, shards, repeatable, arguments)
