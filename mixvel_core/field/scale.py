"""The scale of data: networks and metrics see float32 in [-1, 1], stores may hold uint8."""

from __future__ import annotations

import numpy as np


def to_float(items: np.ndarray) -> np.ndarray:
    """uint8 0..255 to float32 -1..1; float arrays pass as float32."""
    if items.dtype == np.uint8:
        scaled: np.ndarray = items.astype(np.float32) / np.float32(127.5) - np.float32(1.0)
        return scaled
    return np.asarray(items, dtype=np.float32)


def to_uint8(items: np.ndarray) -> np.ndarray:
    """-1..1 to 0..255, clipped and rounded."""
    return np.round((np.clip(items, -1.0, 1.0) + 1.0) * 127.5).astype(np.uint8)
