"""The order in which a training sees items that can be read in any order."""

from __future__ import annotations

import numpy as np

from mixvel_core.randomness import permutation


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
