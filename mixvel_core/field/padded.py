"""Padded: images with a black border, so that a network that halves them several times can take them.

Fashion-MNIST has 28x28 pixels, which can be halved twice; padded to 32x32 they can be halved five times. The border is
added where items are read, so items that are larger than memory stay where they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import evolve, frozen

from mixvel_core.errors import DataError
from mixvel_core.protocols.data import Data, DataSource, Items


@frozen(kw_only=True, eq=False)
class Padded:
    """``source``, images (n, C, H, W), each in the middle of a black square of ``side`` pixels.

    Black is 0 in bytes and -1 in floats. ``padded`` makes one, and refuses sides that do not fit.
    """

    source: Items
    side: int

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, C, side, side)."""
        return (*self.source.shape[:2], self.side, self.side)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the numbers, that of ``source``."""
        return self.source.dtype

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, rows: np.ndarray | slice, /) -> np.ndarray:
        inner = self.source[rows]
        height, width = inner.shape[2:]
        black = 0 if self.dtype == np.uint8 else -1
        found = np.full((*inner.shape[:2], self.side, self.side), black, self.dtype)
        top, left = (self.side - height) // 2, (self.side - width) // 2
        found[:, :, top : top + height, left : left + width] = inner
        return found


def padded(items: Items, side: int | None, where: str) -> Items:
    """``items`` with a border that brings them to ``side`` x ``side`` pixels; themselves if ``side`` is None.

    Args:
        items: images (n, C, H, W).
        side: pixels of the square, the same number more than H above as below, and than W left as right.
        where: the data, for messages.

    Raises:
        DataError: items that are no images, or a side that does not fit them; names the nearest that do.
    """
    if side is None:
        return items
    shape = tuple(int(n) for n in items.shape[1:])
    if len(shape) != 3:
        raise DataError(f"{where}: pad: items of shape {shape} are no images (C, H, W); leave out `pad`")
    height, width = shape[1:]
    if (height - width) % 2:
        raise DataError(f"{where}: pad: {height} x {width} pixels are in the middle of no square; resize them")
    if side == height == width:
        return items
    largest = max(height, width)
    if side < largest or (side - largest) % 2:
        near = [largest] if side < largest else [side - 1, side + 1]
        raise DataError(
            f"{where}: pad: {side} does not fit images of {height} x {width} pixels, the border must be the same on "
            f"both sides; the nearest that {'fit are' if len(near) > 1 else 'fits is'} {' and '.join(map(str, near))}"
        )
    return Padded(source=items, side=side)


@frozen(kw_only=True)
class PaddedSource:
    """``source`` with its images brought to ``side`` x ``side`` pixels; ``name``: the source's, for messages."""

    source: DataSource
    side: int
    name: str

    def load(self) -> Data:
        """The data set. Raises DataError as ``source`` and ``padded`` do."""
        return padded_data(self.source.load(), self.side, self.name)


def padded_data(data: Data, side: int | None, where: str) -> Data:
    """``data`` with its images padded, and the provenance that says so. Raises DataError as ``padded`` does."""
    items = padded(data.items, side, where)
    if items is data.items:
        return data
    inner = " x ".join(str(n) for n in data.items.shape[2:])
    return evolve(data, items=items, provenance={**data.provenance, "padding": f"{inner} to {side} x {side}, black"})


def padded_source(source: DataSource, side: int | None, name: str) -> DataSource:
    """``source`` itself if ``side`` is None, else a PaddedSource of it."""
    return source if side is None else PaddedSource(source=source, side=side, name=name)
