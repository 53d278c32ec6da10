"""Shards in memory whose items have classes, and routers of them, shared by the tests of conditional routers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mixvel_core.data.conditions import class_fractions, conditions_of
from mixvel_core.protocols import CLASS, ConditionSpec, NoiseSchedule, Router, RouterConfig, RouterFamily
from mixvel_core.testing.problems import MemoryShard


def classed_shards(counts: Sequence[Sequence[int]], dimension: int = 5, seed: int = 0) -> list[MemoryShard]:
    """Shard k has ``counts[k][c]`` items of class c, each cell about a mean of its own; in random order."""
    rng = np.random.default_rng(seed)
    shards = []
    for k, row in enumerate(counts):
        labels = np.repeat(np.arange(len(row)), row)
        means = rng.normal(0.0, 1.0, (len(row), dimension))
        items = means[labels] + rng.normal(0.0, 1.0, (len(labels), dimension)) * np.linspace(0.2, 0.6, dimension)
        order = rng.permutation(len(labels))
        shards.append(
            MemoryShard(
                items=items[order].astype(np.float32),
                index=k,
                fraction=float(sum(row)) / float(np.sum(counts)),
                conditions=(ConditionSpec(name=CLASS, classes=len(row)),),
                values={CLASS: labels[order].astype(np.int64)},
            )
        )
    return shards


def classed_config(shards: Sequence[MemoryShard]) -> RouterConfig:
    """What a run writes of a router of these shards."""
    total = sum(shard.count for shard in shards)
    return RouterConfig(
        fractions=tuple(shard.count / total for shard in shards),
        shape=shards[0].shape,
        conditions=conditions_of(shards[0]),
        class_fractions=class_fractions(shards),
    )


def untrained(family: RouterFamily, shards: Sequence[MemoryShard], schedule: NoiseSchedule) -> Router:
    """The router of a family that trains nothing."""
    return family.load(classed_config(shards), family.tensors(shards, {}), schedule)
