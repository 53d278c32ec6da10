"""Items: many items of one shape, read when asked and only where asked; they may be larger than memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np


class Items(Protocol):
    """n items, (n, *data), uint8 or float32 in [-1, 1]. Arrays are items, memory-mapped or not."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, *data)."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the numbers."""
        ...

    def __len__(self) -> int:
        """n."""
        ...

    def __getitem__(self, rows: np.ndarray | slice, /) -> np.ndarray:
        """Some items in the order asked for, (rows, *data): a slice, or integer indices below n, not negative.

        Only what is asked for is in memory afterwards; ``items[:]`` reads everything.
        """
        ...
