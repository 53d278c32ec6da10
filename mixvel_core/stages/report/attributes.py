"""What is said of shards beside their items: names, and how many items have which attribute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mixvel_core.files import read_json
from mixvel_core.stages.shards import StoredShard


def shard_name(part: StoredShard) -> str:
    """What the partitioner said that the shard holds; empty where it said nothing."""
    name: str = read_json(part.folder / "shard.json").get("name", "")
    return name


def attribute_counts(part: StoredShard) -> dict[str, int]:
    """How many items of a shard have each attribute."""
    counts: dict[str, int] = read_json(part.folder / "shard.json").get("attributes", {})
    return counts


def telling(found: Sequence[Mapping[str, int]], sizes: Sequence[int], most: int) -> tuple[str, ...]:
    """The ``most`` attributes whose part of a shard differs most between shards, in their own order.

    Args:
        found: the counts of each shard.
        sizes: the items of each shard.
        most: names wanted.
    """
    names = list(dict.fromkeys(name for counts in found for name in counts))
    spread = {name: float(np.ptp([c.get(name, 0) / n for c, n in zip(found, sizes, strict=True)])) for name in names}
    # The sort keeps the order of equals.
    chosen = set(sorted(names, key=lambda name: -spread[name])[:most])
    return tuple(name for name in names if name in chosen)


def called(label: str, names: Sequence[str]) -> str:
    """The name of a label, where it has one."""
    return names[int(label)] if label.isdecimal() and int(label) < len(names) else label
