"""The range of stored numbers: which of them become -1 and 1, and the refusal of what is not clear.

Floats in [0, 1] are the commonest mistake there is: they lie within [-1, 1], so black would be grey and half of the
range never used. Bytes of 0 and 1, masks for one, would all be black.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from attrs import frozen

from mixvel_core.data.conventions import Range
from mixvel_core.data.items import indices_of, spans
from mixvel_core.errors import DataError, UnreadableError
from mixvel_core.protocols import Items

BLOCK = 1 << 24
"""Bytes that are compared together: a memory-mapped file is never read as a whole."""
DARK = 16
"""Bytes that reach no higher are no picture of 256 levels: labels, masks or counts."""
_BYTES = (0.0, 255.0)
_FLOATS = (-1.0, 1.0)
_LARGEST = float(np.finfo(np.float32).max)


@frozen(kw_only=True, eq=False)
class Ranged:
    """``source``, numbers of any type, as uint8 or as float32; numbers outside of ``low`` to ``high`` are refused as
    they are read.

    ``form``: "bytes", 0..255 as they are; "mapped", linearly, ``low`` to -1 and ``high`` to 1; "same", as they are.
    ``where``: the file, for messages.
    """

    source: Items
    low: float
    high: float
    form: str
    where: str

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, *data), that of ``source``."""
        return self.source.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8 of bytes, float32 of all other numbers."""
        return np.dtype(np.uint8 if self.form == "bytes" else np.float32)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, rows: np.ndarray | slice, /) -> np.ndarray:
        found = self.source[rows]
        self._refuse_outside(found, rows)
        if self.form != "mapped":
            return found.astype(self.dtype, copy=False)
        # In double precision, so that float32 is rounded once; rounding may not leave the range.
        mapped = (found.astype(np.float64) - self.low) * (2 / (self.high - self.low)) - 1
        return np.clip(mapped, -1, 1).astype(np.float32)

    def _refuse_outside(self, found: np.ndarray, rows: np.ndarray | slice) -> None:
        # This way round, NaN is outside too.
        good = (found >= self.low) & (found <= self.high)
        if self.form == "bytes" and found.dtype.kind == "f":
            good &= found == np.floor(found)
        each = good.reshape(len(found), -1).all(axis=1)
        if not each.all():
            i = int(np.argmin(each))
            item = indices_of(rows, len(self))[i]
            low, high = float(found[i].min()), float(found[i].max())
            raise UnreadableError(
                f"{self.where}: item {item} has values from {low:g} to {high:g}"
                f"{self._expected()}; {_line_for(low, high, found[i])}"
            )

    def _expected(self) -> str:
        match self.form:
            case "bytes":
                return ", not whole numbers from 0 to 255 as `range: uint8` states"
            case "mapped":
                return f", not from {self.low:g} to {self.high:g} as `range` states"
            case _:
                return ""


def ranged(items: Items, stated: Range | None, where: str) -> Items:
    """``items`` in uint8 or float32: bytes as they are, other numbers so that ``stated`` becomes [-1, 1].

    Args:
        items: (n, *data), whole numbers, floats or truth values.
        stated: the option `range`; None: bytes are uint8, floats are in [-1, 1].
        where: the file, for messages.

    Returns:
        Items whose numbers are compared with the range as they are read; ``refuse_outside`` reads all of them.

    Raises:
        DataError: a type without a range, or one that contradicts ``stated``.
    """
    kind = items.dtype.kind
    if kind not in "biuf":
        raise DataError(f"{where}: holds {items.dtype} values; expected uint8, or floats in [-1, 1]")
    is_bytes = items.dtype == np.uint8
    if is_bytes and stated in (None, "uint8", "as-is"):
        return items
    if is_bytes and stated == _FLOATS:
        raise DataError(f"{where}: holds uint8 values, which `range: [-1, 1]` contradicts; leave out `range`")
    if stated is None and kind != "f":
        raise DataError(
            f"{where}: holds {items.dtype} values; expected uint8, or floats in [-1, 1]; {_line_for_type(items.dtype)}"
        )
    if stated == "as-is":
        return Ranged(source=items, low=-_LARGEST, high=_LARGEST, form="same", where=where)
    if stated == "uint8":
        return Ranged(source=items, low=_BYTES[0], high=_BYTES[1], form="bytes", where=where)
    low, high = _FLOATS if stated is None else (float(stated[0]), float(stated[1]))
    form = "same" if (low, high) == _FLOATS else "mapped"
    return Ranged(source=items, low=low, high=high, form=form, where=where)


def refuse_outside(items: Items) -> None:
    """Reads all items. Raises DataError, with the item and the line to add, where numbers lie outside of the range."""
    if isinstance(items, Ranged):
        for _ in _blocks(items):
            pass


def refuse_unclear(items: Items, stated: Range | None, where: str) -> None:
    """Raises DataError where no range is stated and the numbers do not show one: floats of which none is below 0, or
    bytes of which none is above DARK. Reads until there is one."""
    if stated is not None or len(items) == 0:
        return
    largest = 0.0
    for block in _blocks(items):
        largest = max(largest, float(block.max(initial=0)))
        if largest > DARK if items.dtype == np.uint8 else bool((block < 0).any()):
            return
    if largest == 0:
        return  # all the same, whatever the range
    if items.dtype == np.uint8:
        raise DataError(
            f"{where}: no byte is above {largest:g}, so that 255 would be white and all nearly black; "
            f"add `range: [0, {largest:g}]`, or `range: uint8` where they are so dark"
        )
    raise DataError(
        f"{where}: all values lie in 0 to 1, none below 0; add `range: [0, 1]`, by which 0 becomes -1, or "
        "`range: [-1, 1]` where they are as they should be"
    )


def _blocks(items: Items) -> Iterator[np.ndarray]:
    yield from (items[start:stop] for start, stop in spans(items, BLOCK))


def _line_for(low: float, high: float, item: np.ndarray) -> str:
    """The line that an item outside of the range needs."""
    if not (np.isfinite(low) and np.isfinite(high)):
        return "leave such items out"
    if low >= 0 and DARK < high <= 255:
        is_whole = bool((item == np.floor(item)).all())
        return "add `range: uint8`" if is_whole else "add `range: [0, 255]`, or the pair of numbers they lie between"
    return "add `range: [LOW, HIGH]`, the numbers that become -1 and 1, or `range: as-is`"


def _line_for_type(dtype: np.dtype[Any]) -> str:
    match dtype.kind, dtype.itemsize:
        case "b", _:
            return "add `range: [0, 1]`"
        case "u", 2:
            return "add `range: [0, 65535]`, or the pair of numbers they lie between"
        case _:
            return "add `range: uint8` where they are 0 to 255, or else the pair of numbers they lie between"
