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
from mixvel_core.protocols.items import Items
from mixvel_core.protocols.launcher import Job
from mixvel_core.protocols.training import Batch
from mixvel_core.randomness import key, normal, uniform
from mixvel_core.store.parquet_items import stream_of
from mixvel_core.training.feed import Feed, IndexedFeed, StreamFeed
from mixvel_core.training.order import Order
from mixvel_core.training.stream_order import StreamOrder
from mixvel_core.training.world import World


class Batches:
    """The batches of one training, of ``count`` items; ``at(step)`` is this worker's slice of the global batch.

    Times are stratified: row i of B draws t uniformly from the i-th of B equal parts of
    [earliest_t, latest_t], so each batch covers the whole range of times, at no bias.
    """

    def __init__(self, job: Job, device: torch.device, world: World) -> None:
        task, seed = job.task, job.seed
        items, shards = task.items, task.shards
        if len(items) == 0:
            raise DataError(f"{job.name}: no items to train on; choose a partition without empty shards")
        if task.options.horizontal_flips and len(items.shape) != 4:
            raise DataError(f"{job.name}: items of shape {items.shape[1:]} are no images; leave out horizontal_flips")
        self.device = device
        self.count = len(items)
        self._shards = shards
        self._options = task.options
        self._share = world.share(task.options.batch)
        self._feed = _feed(items, key(seed, "order"), world)
        self._time_key = key(seed, "time")
        self._noise_key = key(seed, "noise")
        self._flip_key = key(seed, "flip")

    def close(self) -> None:
        """Ends whatever reads ahead."""
        self._feed.close()

    def at(self, step: int) -> Batch:
        """The batch of step ``step`` in 0..steps-1."""
        rows = np.arange(self._share.start, self._share.stop)
        chosen, items = self._feed.at(step * self._options.batch + rows)
        shards = np.zeros(len(chosen), np.int64) if self._shards is None else self._shards[chosen]
        index = torch.from_numpy(rows).to(self.device)
        x_0 = self._flipped(torch.from_numpy(to_float(items)).to(self.device), index, step)
        return Batch(
            x_0=x_0,
            shard=torch.from_numpy(shards.astype(np.int64, copy=False)).to(self.device),
            t=self._times(index, step).to(x_0.dtype),
            eps=normal(self._noise_key, index, tuple(x_0.shape[1:]), x_0.dtype, step),
            progress=step / self._options.steps,
        )

    def _flipped(self, x_0: Tensor, index: Tensor, step: int) -> Tensor:
        """Half of the images mirrored, by a coin for each step and row, where that is asked for."""
        if not self._options.horizontal_flips:
            return x_0
        heads = uniform(self._flip_key, index, step) < 0.5
        return torch.where(heads[:, None, None, None], x_0.flip(-1), x_0)

    def _times(self, index: Tensor, step: int) -> Tensor:
        earliest, latest = self._options.earliest_t, self._options.latest_t
        part = (index + uniform(self._time_key, index, step)) / self._options.batch
        return earliest + (latest - earliest) * part


def _feed(items: Items, seed: int, world: World) -> Feed:
    stream = stream_of(items)
    if stream is None:
        return IndexedFeed(items=items, order=Order(seed, len(items)))
    order = StreamOrder(seed, [group.rows for group in stream.groups], stream.window)
    return StreamFeed(stream=stream, order=order, reader=world.reader)
