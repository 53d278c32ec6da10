"""What a router learns from: the items of all shards, noised, with their shard, the exact posterior and its rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from attrs import evolve, field, frozen
from torch import Tensor

from mixvel_core.data.items import joined
from mixvel_core.field.conversions import add_noise, expand, point_for
from mixvel_core.field.posterior import Path, PosteriorAnswer, PosteriorEngine
from mixvel_core.protocols import Batch, Items, NoiseSchedule, Objective, RouterConfig, Shard
from mixvel_core.training.options import TrainOptions


@frozen(kw_only=True)
class RouterTask:
    """The training of one network on the items of all shards.

    Every item is as likely as any other, so the prior that a network learns is N_k / N.

    ``make``: the shards, the schedule and a seed -> the objective; a module's function or a ``partial`` of one, because
    tasks are pickled.
    """

    members: tuple[Shard, ...]
    schedule: NoiseSchedule
    options: TrainOptions
    make: Callable[[tuple[Shard, ...], NoiseSchedule, int], Objective]

    @property
    def items(self) -> Items:
        """All items, shard by shard, each where it lies; opened at each call, so that the task itself stays small."""
        return joined(*(shard.items for shard in self.members))

    @property
    def shards(self) -> np.ndarray:
        """The place k of each item's shard in the sequence of shards."""
        return np.repeat(np.arange(len(self.members)), [shard.count for shard in self.members])

    def objective(self, seed: int) -> Objective:
        """A fresh network and its loss."""
        return self.make(self.members, self.schedule, seed)


_ROWS = 1 << 14
"""Items in a block on a GPU, which has no cache to be kept to."""


@frozen(kw_only=True, eq=False)
class Targets:
    """The exact posterior of all items of all shards at noised batches. Nothing here has a gradient."""

    engine: PosteriorEngine
    schedule: NoiseSchedule
    _on_device: dict[torch.device, PosteriorEngine] = field(factory=dict, init=False)

    @torch.no_grad()
    def at(self, batch: Batch, *, rates: bool) -> tuple[Tensor, PosteriorAnswer]:
        """x_t of a batch, (B, *data), and the posterior there; ``rates``: whether its rate is wanted too."""
        x = add_noise(batch.x_0, batch.eps, point_for(self.schedule, batch.t, batch.x_0))
        return x, self.of(x, batch.t, means=rates)

    @torch.no_grad()
    def of(self, x: Tensor, t: Tensor, *, means: bool) -> PosteriorAnswer:
        """The posterior at points (B, *data) and times (B,), with means and rates if ``means``."""
        return self._near(x).at(x, self.schedule.at(t.double()), means=means)

    def _near(self, x: Tensor) -> PosteriorEngine:
        """The engine with its items on the device of x: otherwise all of them would be copied there at each step.

        They stay where they are stored where they would take more than an eighth of the device's free memory.
        """
        if not x.is_cuda:
            return self.engine
        if x.device not in self._on_device:
            engine = self.engine
            size = sum(len(items) * math.prod(items.shape[1:]) * items.dtype.itemsize for items in engine.shards)
            if 8 * size < torch.cuda.mem_get_info(x.device)[0]:
                moved = tuple(torch.from_numpy(np.array(items[:])).to(x.device) for items in engine.shards)
                engine = evolve(engine, shards=moved, block=_ROWS)
            self._on_device[x.device] = engine
        return self._on_device[x.device]

    @torch.no_grad()
    def rate(self, batch: Batch, answer: PosteriorAnswer, path: Path) -> Tensor:
        """P2 at the same points, (B, K)."""
        if path != "path":
            return answer.rate(path)
        p = self.schedule.at(batch.t.double())
        u = expand(p.d_alpha, batch.x_0) * batch.x_0 + expand(p.d_sigma, batch.x_0) * batch.eps
        return answer.rate(path, u)


def config_of(members: Sequence[Shard]) -> RouterConfig:
    """What a router that learned from the shards is loaded with: pi is N_k / N."""
    return RouterConfig(fractions=tuple(float(shard.count) for shard in members), shape=members[0].shape)


def targets_of(members: Sequence[Shard], schedule: NoiseSchedule) -> Targets:
    """The targets of the shards' items, which are read where they lie."""
    return Targets(engine=PosteriorEngine(shards=tuple(shard.items for shard in members)), schedule=schedule)
