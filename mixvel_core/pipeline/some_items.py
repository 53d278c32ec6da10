"""Some items of a run's data at random, and their conditions: what is encoded and followed back."""

from __future__ import annotations

import numpy as np

from mixvel_core.pipeline.shards import Shards


def some_items(shards: Shards, count: int, seed: int) -> np.ndarray:
    """``count`` items of the data set (all, if there are fewer) at random, as stored; the others are not read."""
    return np.asarray(shards.as_one.items[_some_rows(shards, count, seed)])


def conditions_of_some(shards: Shards, count: int, seed: int) -> dict[str, np.ndarray]:
    """The conditions of the same items, by name; empty where they have none."""
    rows = _some_rows(shards, count, seed)
    return {name: np.array(one[rows]) for name, one in shards.as_one.condition_values().items()}


def _some_rows(shards: Shards, count: int, seed: int) -> np.ndarray:
    total = shards.as_one.count
    return np.random.default_rng(seed).choice(total, min(count, total), replace=False)
