"""Batches as pure functions of (seed, step, row): what step s sees never depends on the steps before it.

So an interrupted training goes on with exactly the batches it would have seen, and W workers see together
what one would see alone.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mixvel_core.errors import DataError
from mixvel_core.field.scale import to_float
from mixvel_core.protocols.launcher import Job
from mixvel_core.protocols.training import Batch
from mixvel_core.randomness import key, normal, permutation, uniform
from mixvel_core.training.world import World


class Order:
    """The data in a new random order each epoch: position p = step * batch + row holds item ``order[p]``."""

    def __init__(self, seed: int, count: int) -> None:
        self._seed = seed
        self._count = count
        self._epochs: dict[int, np.ndarray] = {}

    def items(self, positions: np.ndarray) -> np.ndarray:
        """The item at each position; within an epoch, ``count`` positions in a row, each item comes once."""
        epochs, places = np.divmod(positions, self._count)
        wanted = np.unique(epochs).tolist()
        # Sorting the whole data set for each batch would cost more than the step; an epoch passes only once.
        self._epochs = {e: self._epochs[e] if e in self._epochs else self._epoch(e) for e in wanted}
        return np.stack([self._epochs[e] for e in wanted])[np.searchsorted(wanted, epochs), places]

    def _epoch(self, epoch: int) -> np.ndarray:
        return permutation(self._seed, self._count, epoch).numpy()


class Batches:
    """The batches of one training; ``at(step)`` is this worker's slice of the global batch.

    Times are stratified: row i of B draws t uniformly from the i-th of B equal parts of
    [earliest_t, latest_t], so each batch covers the whole range of times, at no bias.
    """

    def __init__(self, job: Job, device: torch.device, world: World) -> None:
        task, seed = job.task, job.seed
        items, shards = task.items, task.shards
        if len(items) == 0:
            raise DataError(f"{job.name}: no items to train on; choose a partition without empty shards")
        self.device = device
        self._items = items
        self._shards = np.zeros(len(items), np.int64) if shards is None else shards
        self._options = task.options
        self._share = world.share(task.options.batch)
        self._order = Order(key(seed, "order"), len(items))
        self._time_key = key(seed, "time")
        self._noise_key = key(seed, "noise")

    @property
    def count(self) -> int:
        """The number of items."""
        return len(self._items)

    def at(self, step: int) -> Batch:
        """The batch of step ``step`` in 0..steps-1."""
        rows = np.arange(self._share.start, self._share.stop)
        chosen = self._order.items(step * self._options.batch + rows)
        x_0 = torch.from_numpy(to_float(self._items[chosen])).to(self.device)
        index = torch.from_numpy(rows).to(self.device)
        return Batch(
            x_0=x_0,
            shard=torch.from_numpy(self._shards[chosen].astype(np.int64, copy=False)).to(self.device),
            t=self._times(index, step).to(x_0.dtype),
            eps=normal(self._noise_key, index, tuple(x_0.shape[1:]), x_0.dtype, step),
            progress=step / self._options.steps,
        )

    def _times(self, index: Tensor, step: int) -> Tensor:
        earliest, latest = self._options.earliest_t, self._options.latest_t
        part = (index + uniform(self._time_key, index, step)) / self._options.batch
        return earliest + (latest - earliest) * part
