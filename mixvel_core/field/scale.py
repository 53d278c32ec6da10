"""The scale of data: networks and metrics see float32, items in [-1, 1]; stores may hold uint8, and latents float16."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def to_float(items: np.ndarray) -> NDArray[np.float32]:
    """uint8 0..255 to float32 -1..1; float arrays pass as float32."""
    if items.dtype == np.uint8:
        return items.astype(np.float32) / np.float32(127.5) - np.float32(1.0)
    return items.astype(np.float32, copy=False)


def to_uint8(items: np.ndarray) -> NDArray[np.uint8]:
    """-1..1 to 0..255, clipped and rounded."""
    levels: NDArray[np.float32] = np.round((np.clip(items, -1.0, 1.0) + 1.0) * 127.5)
    return levels.astype(np.uint8)
