"""The order of a stream: a new one each epoch, known from the sizes of row groups, before anything is read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from attrs import frozen

from mixvel_core.randomness import key, permutation


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
