"""Feeds: the items at the positions that a step asks for, out of memory that can be indexed or out of a stream."""

from __future__ import annotations

from collections.abc import Generator
from typing import Protocol

import numpy as np
from attrs import define, field

from mixvel_core.protocols import Items
from mixvel_core.store.parquet_items import Stream
from mixvel_core.store.reading import GroupReader
from mixvel_core.training.order import Order
from mixvel_core.training.stream_order import StreamOrder, Window


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
    """Items read where they are indexed, in any order."""

    items: Items
    order: Order

    def at(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See ``Feed``."""
        chosen = self.order.items(positions)
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
