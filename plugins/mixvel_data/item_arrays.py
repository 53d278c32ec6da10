"""What an array must be to count as items or labels, and how it is brought to the form of ``Data``."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from mixvel_core.errors import DataError

Layout: TypeAlias = Literal["channels-first", "channels-last"]

BLOCK = 1 << 22
"""Values looked at together: a memory-mapped file is never held in memory whole."""


def as_items(array: np.ndarray, layout: Layout, where: str) -> np.ndarray:
    """Items (n, *data) in uint8 or float32.

    Args:
        array: vectors (n, D), grey images (n, H, W), or images (n, C, H, W) or (n, H, W, C) as ``layout`` says;
            uint8, or floats in [-1, 1].
        layout: the order of the axes of images with channels.
        where: the file, for messages.

    Raises:
        DataError: another type, another number of axes, no values, or values outside of [-1, 1].
    """
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise DataError(f"{where}: holds {array.dtype} values; expected uint8, or floats in [-1, 1]")
    if array.ndim not in (2, 3, 4):
        raise DataError(
            f"{where}: has shape {array.shape}; expected vectors (n, D) or images (n, H, W), (n, C, H, W), (n, H, W, C)"
        )
    if array.size == 0:
        raise DataError(f"{where}: is empty (shape {array.shape}); expected at least one item")
    items = _channels_first(array, layout, where)
    if items.dtype == np.uint8:
        return items
    _refuse_out_of_range(items, where)
    return items.astype(np.float32, copy=False)


def as_labels(array: np.ndarray, count: int, where: str) -> np.ndarray:
    """Labels (count,), int64. Raises DataError for other shapes and for values that are not whole numbers."""
    if array.dtype.kind not in "iu":
        raise DataError(f"{where}: the labels are {array.dtype} values; expected whole numbers")
    if array.shape != (count,):
        raise DataError(f"{where}: the labels have shape {array.shape}; expected ({count},), one for each item")
    return array.astype(np.int64)


def _channels_first(array: np.ndarray, layout: Layout, where: str) -> np.ndarray:
    if array.ndim == 3:
        return array[:, None]
    if array.ndim == 4 and layout == "channels-last":
        return np.moveaxis(array, -1, 1)
    if array.ndim == 4 and array.shape[1] == array.shape[2] > 4 and array.shape[3] in (1, 3):
        # 32 channels of 32x3 pixels exist nowhere; 32x32 pixels in three colours are everywhere.
        raise DataError(f"{where}: shape {array.shape} is (n, H, W, C); say `layout: channels-last`")
    return array


def _refuse_out_of_range(items: np.ndarray, where: str) -> None:
    rows = max(1, BLOCK // items[0].size)
    for start in range(0, len(items), rows):
        # Asked this way round, NaN is out of range too.
        good = (np.abs(items[start : start + rows]) <= 1).reshape(-1, items[0].size).all(axis=1)
        if not good.all():
            i = start + int(np.argmin(good))
            low, high = float(items[i].min()), float(items[i].max())
            raise DataError(
                f"{where}: item {i} has values from {low:g} to {high:g}; scale floats to [-1, 1] or store uint8"
            )
