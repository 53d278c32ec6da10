"""What stands in for what is not made: shards for their networks' sake, and the untrained base of adapters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen

from mixvel_core.data.conditions import conditions_of
from mixvel_core.pipeline.experts import config_of_shard
from mixvel_core.protocols import (
    AdapterFamily,
    ConditionSpec,
    Expert,
    ExpertFamily,
    Items,
    NoiseSchedule,
    Shard,
)
from mixvel_core.recipe.model import Recipe

if TYPE_CHECKING:
    import torch


@frozen(kw_only=True, eq=False)
class StandIn:
    """A shard as far as networks depend on it: losses that read all items need not do so to be counted."""

    index: int
    count: int
    fraction: float
    shape: tuple[int, ...]
    conditions: tuple[ConditionSpec, ...] = ()
    law: None = None

    @property
    def items(self) -> np.ndarray:
        """Two items of zeros, of the shard's shape."""
        return np.zeros((2, *self.shape), np.float32)

    def condition_values(self) -> Mapping[str, Items]:
        """Of these items: class 0, and zeros."""
        return {s.name: np.zeros((2, *s.shape), np.int64 if s.classes else np.float32) for s in self.conditions}


def stand_in_for(shard: Shard) -> StandIn:
    """What stands in for ``shard``, of which no item is read."""
    return StandIn(
        index=shard.index,
        count=shard.count,
        fraction=shard.fraction,
        shape=shard.shape,
        conditions=conditions_of(shard),
    )


@frozen(kw_only=True)
class UntrainedBase:
    """What ``family`` makes of ``shard``, with random weights where it trains any: it costs what a trained one costs.

    ``key``: of nothing.
    """

    family: ExpertFamily
    shard: Shard
    schedule: NoiseSchedule
    key: str = ""

    def load(self, device: torch.device | str = "cpu") -> Expert:
        """The expert, on ``device``; on torch's meta device where that is the default one."""
        task = self.family.task(self.shard, self.schedule)
        weights = None if task is None else task.objective(0).network.state_dict()
        made = self.family.tensors(self.shard, weights)
        tensors = {name: value if value.is_meta else value.to(device) for name, value in made.items()}
        return self.family.load(config_of_shard(self.shard), tensors, self.schedule)


def planned_family(recipe: Recipe, joined: Shard, schedule: NoiseSchedule) -> ExpertFamily:
    """The family of a recipe's experts, on an untrained base if they are adapters. ``joined``: all shards as one."""
    family = recipe.expert.build()
    if not isinstance(family, AdapterFamily) or recipe.monolith is None:
        return family
    return family.on(UntrainedBase(family=recipe.monolith.build(), shard=stand_in_for(joined), schedule=schedule))
