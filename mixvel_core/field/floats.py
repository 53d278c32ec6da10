"""Floats: items on the scale that networks and metrics see, converted where they are read."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen

from mixvel_core.field.scale import to_float
from mixvel_core.protocols.items import Items


@frozen(kw_only=True, eq=False)
class Floats:
    """``source`` as float32 in [-1, 1]; a block of it takes four times the memory of bytes, the whole need not be."""

    source: Items

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, *data)."""
        return self.source.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32."""
        return np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, rows: np.ndarray | slice, /) -> np.ndarray:
        return to_float(self.source[rows])
