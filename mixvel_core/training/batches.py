"""Batches as pure functions of (seed, step, row): what step s sees never depends on the steps before it.

So an interrupted training goes on with exactly the batches it would have seen, and W workers see together
what one would see alone.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Protocol

import numpy as np
import torch
from attrs import define, evolve, field, frozen
from torch import Tensor

from mixvel_core.data.parquet_items import Stream, stream_of
from mixvel_core.data.row_groups import GroupReader
from mixvel_core.errors import DataError
from mixvel_core.field.scale import to_float
from mixvel_core.protocols.condition import Condition
from mixvel_core.protocols.data import Items
from mixvel_core.protocols.launcher import Job
from mixvel_core.protocols.training import Batch
from mixvel_core.randomness import key, normal, permutation, uniform
from mixvel_core.training.conditions import ConditionFeed
from mixvel_core.training.held_out import held_batch, split
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


@frozen(kw_only=True, eq=False)
class Window:
    """Row groups that are in memory together. ``groups``: which, in the order of reading; ``items``: the index of each
    of their items among all, shuffled; ``places``: where each of them lies in the groups one after the other."""

    groups: np.ndarray
    items: np.ndarray
    places: np.ndarray


class StreamOrder:
    """Each epoch all row groups come in a new order, ``window`` at a time; the items of a window are shuffled.

    ``sizes``: items of each group. Like ``Order`` a pure function of seed and position; but neighbours in the order are
    neighbours in storage, so that a stream can follow it.
    """

    def __init__(self, seed: int, sizes: Sequence[int], window: int) -> None:
        self._group_key = key(seed, "groups")
        self._row_keys = key(seed, "rows")
        self._sizes = np.asarray(sizes, np.int64)
        self._firsts = np.cumsum(self._sizes) - self._sizes
        self._window = window
        self._epoch: tuple[int, np.ndarray, np.ndarray] | None = None
        self.count = int(self._sizes.sum())

    def groups(self, epoch: int) -> np.ndarray:
        """The groups in the order of an epoch, (G,)."""
        return self._plan(epoch)[0]

    def windows_at(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Epoch, window and place in it of each position p = step * batch + row."""
        epochs, rest = np.divmod(positions, self.count)
        windows, places = np.empty_like(rest), np.empty_like(rest)
        for epoch in np.unique(epochs).tolist():
            mine = epochs == epoch
            ends = self._plan(epoch)[1]
            windows[mine] = np.searchsorted(ends, rest[mine], side="right")
            places[mine] = rest[mine] - np.concatenate([[0], ends])[windows[mine]]
        return epochs, windows, places

    def first_group(self, window: int) -> int:
        """The place of a window's first group in the order of its epoch."""
        return window * self._window

    def window(self, epoch: int, window: int) -> Window:
        """What a window of an epoch holds."""
        groups = self.groups(epoch)[self.first_group(window) : self.first_group(window + 1)]
        items = np.concatenate([self._firsts[g] + np.arange(self._sizes[g]) for g in groups])
        places = permutation(key(self._row_keys, epoch), len(items), window).numpy()
        return Window(groups=groups, items=items[places], places=places)

    def _plan(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The groups of an epoch in order, and the ends of its windows."""
        if self._epoch is None or self._epoch[0] != epoch:
            groups = permutation(self._group_key, len(self._sizes), epoch).numpy()
            ends = np.cumsum(self._sizes[groups])
            last = [*range(self._window - 1, len(groups) - 1, self._window), len(groups) - 1]
            self._epoch = epoch, groups, ends[last]
        return self._epoch[1], self._epoch[2]


class Feed(Protocol):
    """Where batches come from."""

    def at(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The index among all items, (B,), and the item, (B, *data), at each position, whatever was asked before."""
        ...

    def close(self) -> None:
        """Ends what reads ahead."""
        ...


@define(kw_only=True, eq=False)
class IndexedFeed:
    """Items read where they are indexed, in any order. ``kept``: of all items those that are trained on; None: all."""

    items: Items
    order: Order
    kept: np.ndarray | None = None

    def at(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The indices of ``order`` at these positions, and their items, read at random."""
        chosen = self.order.items(positions)
        chosen = chosen if self.kept is None else self.kept[chosen]
        return chosen, self.items[chosen]

    def close(self) -> None:
        """Nothing is read ahead."""


@define(kw_only=True, eq=False)
class StreamFeed:
    """Items of a stream. In memory are the windows that a batch lies in, and as much again that is read ahead.

    Positions that increase are read once. Whatever the first position is, no window before it is read.
    """

    stream: Stream
    order: StreamOrder
    reader: GroupReader
    _held: dict[tuple[int, int], tuple[Window, np.ndarray]] = field(factory=dict, init=False)
    _coming: Generator[np.ndarray] | None = field(default=None, init=False)
    _next: tuple[int, int] = field(default=(0, 0), init=False)

    def at(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See ``Feed``. Raises DataError, naming the file, where one cannot be read."""
        epochs, windows, places = self.order.windows_at(positions)
        wanted = sorted(set(zip(epochs.tolist(), windows.tolist(), strict=True)))
        # Let go before more is read.
        self._held = {place: held for place, held in self._held.items() if place in wanted}
        chosen = np.empty(len(positions), np.int64)
        found = np.empty((len(positions), *self.stream.column.shape), self.stream.column.dtype)
        for epoch, window in wanted:
            order, items = self._window(epoch, window)
            mine = (epochs == epoch) & (windows == window)
            chosen[mine] = order.items[places[mine]]
            found[mine] = items[order.places[places[mine]]]
        return chosen, found

    def close(self) -> None:
        """Ends the reading ahead; asking again begins another."""
        if self._coming is not None:
            self._coming.close()
            self._coming = None

    def _window(self, epoch: int, window: int) -> tuple[Window, np.ndarray]:
        if (epoch, window) not in self._held:
            order = self.order.window(epoch, window)
            self._held[epoch, window] = order, self._read(epoch, window, order)
        return self._held[epoch, window]

    def _read(self, epoch: int, window: int, order: Window) -> np.ndarray:
        if self._coming is None or self._next != (epoch, window):
            self.close()
            left = self.order.groups(epoch)[self.order.first_group(window) :]
            groups = [self.stream.groups[g] for g in left]
            self._coming = self.reader.read(groups, self.stream.column, self.stream.window)
        # One window of memory, filled as groups arrive: joined afterwards, there would be two.
        items = np.empty((len(order.items), *self.stream.column.shape), self.stream.column.dtype)
        done = 0
        for _ in order.groups:
            group = next(self._coming)
            items[done : done + len(group)] = group
            done += len(group)
        self._next = epoch, window + 1
        return items


class Batches:
    """The batches of one training, of ``count`` items; ``at(step)`` is this worker's slice of the global batch.

    Times are stratified: row i of B draws t uniformly from the i-th of B equal parts of
    [earliest_t, latest_t], so each batch covers the whole range of times, at no bias. Conditions that the items
    have are dropped for the null one now and then (``ConditionFeed``), but never those of held-out points.
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
        held, streamed = task.options.held_out, stream_of(items) is not None
        part = split(job.name, len(items), held, seed, streamed=streamed) if held > 0.0 else None
        self._feed = _feed(items, key(seed, "order"), world, None if part is None else part.kept)
        self._conditions = ConditionFeed.of(job.name, task, seed)
        self._held = (
            None if part is None else held_batch(items, shards, part.held, task.options, seed, self._conditions)
        )
        self._time_key = key(seed, "time")
        self._noise_key = key(seed, "noise")
        self._flip_key = key(seed, "flip")

    def close(self) -> None:
        """Ends whatever reads ahead."""
        self._feed.close()

    def held_out(self, step: int) -> Batch | None:
        """Points of the items that are not trained on, the same at every step; None where all are trained on."""
        if self._held is None:
            return None
        self._held = self._held.to(self.device)
        return evolve(self._held, progress=step / self._options.steps)

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
            condition=self._condition(chosen, index, step),
        )

    def _condition(self, chosen: np.ndarray, index: Tensor, step: int) -> Condition | None:
        feed = self._conditions
        return None if feed is None else feed.with_null(feed.at(chosen).to(self.device), index, step)

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


def _feed(items: Items, seed: int, world: World, kept: np.ndarray | None) -> Feed:
    stream = stream_of(items)
    if stream is None:
        return IndexedFeed(items=items, order=Order(seed, len(items) if kept is None else len(kept)), kept=kept)
    order = StreamOrder(seed, [group.rows for group in stream.groups], stream.window)
    return StreamFeed(stream=stream, order=order, reader=world.reader)
