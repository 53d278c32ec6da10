"""The data that routers learn from: the items of all shards, each with the place of its shard."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from attrs import frozen

from mixvel_core.field.gathered import joined
from mixvel_core.protocols import Items, NoiseSchedule, Objective, Shard
from mixvel_core.training.options import TrainOptions


@frozen(kw_only=True)
class RouterTask:
    """Every item is as likely as any other, so the prior that a network learns is N_k / N.

    ``make``: the shards, the schedule and a seed -> the objective; a module's function or a ``partial`` of one, because
    tasks are pickled.
    """

    members: tuple[Shard, ...]
    schedule: NoiseSchedule
    options: TrainOptions
    make: Callable[[tuple[Shard, ...], NoiseSchedule, int], Objective]

    @property
    def items(self) -> Items:
        """All items, shard by shard, each where it lies; opened when asked, so that the task itself stays small."""
        return joined(*(shard.items for shard in self.members))

    @property
    def shards(self) -> np.ndarray:
        """The place k of each item's shard in the sequence of shards."""
        return np.repeat(np.arange(len(self.members)), [shard.count for shard in self.members])

    def objective(self, seed: int) -> Objective:
        """A fresh network and its loss."""
        return self.make(self.members, self.schedule, seed)
