"""Views of items: converted to floats, joined or chosen without a copy, read only where they are needed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from attrs import field, frozen

from mixvel_core.field.scale import to_float
from mixvel_core.protocols.data import Items

LATENTS: np.dtype[Any] = np.dtype(np.float16)
"""The type of stored latents: half of the bytes of float32, and a relative error of 2^-11, far below what codecs lose.
Items of this type are latents of a codec; no source of data has others."""


def are_latents(items: Items) -> bool:
    """Whether items, as they are stored, are latents, which do not lie in [-1, 1] and cannot be looked at."""
    return items.dtype == LATENTS


@frozen(kw_only=True, eq=False)
class Floats:
    """``source`` as float32; a block of it takes four times the memory of bytes, the whole need not be."""

    source: Items

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, rows: np.ndarray | slice, /) -> np.ndarray:
        return to_float(self.source[rows])


_BLOCK = 1 << 26
"""Bytes that are read at once where all items pass by."""


@frozen(kw_only=True, eq=False)
class Joined:
    """``parts`` one after the other: like a concatenation of arrays, but each stays where it lies.

    The parts have items of one shape and one type; there is at least one part.
    """

    parts: tuple[Items, ...]
    _ends: np.ndarray = field(init=False)

    @_ends.default
    def _ends_of_parts(self) -> np.ndarray:
        return np.cumsum([len(part) for part in self.parts])

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.parts[0].shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.parts[0].dtype

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, rows: np.ndarray | slice, /) -> np.ndarray:
        wanted = indices_of(rows, len(self))
        found = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        home = np.searchsorted(self._ends, wanted, side="right")
        for k in np.unique(home):
            mine = home == k
            found[mine] = self.parts[k][wanted[mine] - (self._ends[k] - len(self.parts[k]))]
        return found


@frozen(kw_only=True, eq=False)
class Chosen:
    """The items at ``rows``, (n,) indices into ``source``."""

    source: Items
    rows: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.source.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.source.dtype

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: np.ndarray | slice, /) -> np.ndarray:
        return self.source[self.rows[rows]]


def joined(*parts: Items) -> Items:
    """The items of all parts, one part after the other; a single part is itself."""
    return parts[0] if len(parts) == 1 else Joined(parts=parts)


def indices_of(rows: np.ndarray | slice, count: int) -> np.ndarray:
    """``rows`` among ``count`` items as indices. Raises IndexError where there is no such item."""
    if isinstance(rows, slice):
        return np.arange(*rows.indices(count))
    if len(rows) and not (rows.min() >= 0 and rows.max() < count):
        raise IndexError(f"items {rows.min()} to {rows.max()} of {count} were asked for")
    return rows


def spans(items: Items, size: int = _BLOCK) -> Iterator[tuple[int, int]]:
    """First and last of consecutive blocks of about ``size`` bytes, at least one item each."""
    each = max(1, int(np.prod(items.shape[1:])) * items.dtype.itemsize)
    rows = max(1, size // each)
    yield from pairwise([*range(0, len(items), rows), len(items)])
