"""How a column of a Parquet file holds items, and how its values become arrays."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from attrs import frozen

from mixvel_core.data.decoding import decoded_file, refuse_dark
from mixvel_core.errors import DataError


class Column(Protocol):
    """A column of items. Picklable: workers decode what they read.

    ``name``: in the file. ``shape``: of one item, ``*data``. ``dtype``: of the decoded numbers, uint8 or float32.
    """

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...

    def decode(self, values: Any) -> np.ndarray:
        """Values of the column, a pyarrow Array of n, as items (n, *data); DataError where they are no such items."""
        ...


@frozen(kw_only=True)
class _StoredColumn:
    """``stored``: the shape in the file, of which ``axes`` makes ``*data``; the shape itself where they are None."""

    name: str
    stored: tuple[int, ...]
    kind: str
    axes: tuple[int, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stored if self.axes is None else tuple(self.stored[a] for a in self.axes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8 or little-endian float32."""
        return np.dtype(self.kind)


@frozen(kw_only=True)
class RawColumn(_StoredColumn):
    """Each value is the bytes of an item in C order, all of one size; the native type of mixvel's own stores."""

    def decode(self, values: Any) -> np.ndarray:
        """Items (n, *data); a view of the values' memory where they have one size."""
        import pyarrow as pa

        refuse_missing(values, self.name)
        size = math.prod(self.stored) * self.dtype.itemsize
        if not pa.types.is_fixed_size_binary(values.type):
            try:
                values = values.cast(pa.binary(size))
            except pa.ArrowInvalid:
                raise DataError(
                    f"column {self.name!r}: not every value has the {size} bytes of {self.stored} {self.dtype}; "
                    "change `shape` or `type`"
                ) from None
        elif values.type.byte_width != size:
            raise DataError(
                f"column {self.name!r}: values have {values.type.byte_width} bytes, {self.stored} takes {size}"
            )
        raw = np.frombuffer(values.buffers()[1], np.uint8, len(values) * size, values.offset * size)
        return turned(raw.view(self.dtype).reshape(len(values), *self.stored), self.axes)


@frozen(kw_only=True)
class ListColumn(_StoredColumn):
    """Each value is a list of numbers, nested or not; all types but uint8 become float32, in the range of the file."""

    def decode(self, values: Any) -> np.ndarray:
        """Flattened lists as items, (n, *data)."""
        refuse_missing(values, self.name)
        flat = values
        while hasattr(flat, "flatten") and hasattr(flat.type, "value_type"):
            flat = flat.flatten()
        numbers = flat.to_numpy(zero_copy_only=False)
        if flat.null_count or numbers.size != len(values) * math.prod(self.stored):
            raise DataError(f"column {self.name!r}: not every value is {self.stored}; make all items alike")
        return turned(numbers.astype(self.dtype, copy=False).reshape(len(values), *self.stored), self.axes)


@frozen(kw_only=True)
class PictureColumn:
    """Each value is a PNG, a JPEG or another file that Pillow reads: bytes, or Hugging Face's struct of bytes and path.

    ``shape``: (C, H, W), C 1 for grey and 3 for colour; pictures of other modes are converted, other sizes refused.
    ``bits``: that 16-bit grey uses; None: 16, refused where all of a row group that are 16-bit use fewer.
    """

    name: str
    shape: tuple[int, ...]
    bits: int | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of decoded pixels, uint8."""
        return np.dtype(np.uint8)

    def decode(self, values: Any) -> np.ndarray:
        """Items (n, C, H, W)."""
        found = np.empty((len(values), *self.shape), np.uint8)
        highest = 0
        for i, value in enumerate(picture_bytes(values, self.name)):
            made = decoded_file(value, self.shape[0], self.bits, f"column {self.name!r}: picture {i}")
            highest, picture = max(highest, made.highest), made.pixels
            if picture.shape != self.shape:
                raise DataError(
                    f"column {self.name!r}: a picture of {picture.shape[2]}x{picture.shape[1]} pixels among those of "
                    f"{self.shape[2]}x{self.shape[1]}; make all pictures of one size"
                )
            found[i] = picture
        refuse_dark(highest, self.bits, f"column {self.name!r}")
        return found


def picture_bytes(values: Any, name: str) -> list[bytes]:
    """The files in a column of pictures. Raises DataError where one is missing."""
    import pyarrow as pa

    if pa.types.is_struct(values.type):
        refuse_missing(values, name)
        values = values.field("bytes")
        if values.null_count:
            raise DataError(
                f"column {name!r}: {values.null_count} of {len(values)} pictures are not in the file, at most their "
                "paths; embed them, or read the folder they lie in by `use: image-folder`"
            )
    refuse_missing(values, name)
    files: list[bytes] = values.to_pylist()
    return files


def turned(items: np.ndarray, axes: tuple[int, ...] | None) -> np.ndarray:
    """Items (n, *stored) with the axes of each in another order."""
    return items if axes is None else items.transpose(0, *(a + 1 for a in axes))


def refuse_missing(values: Any, name: str) -> None:
    """Raises DataError where a value of the column is null."""
    if values.null_count:
        raise DataError(f"column {name!r}: {values.null_count} of {len(values)} values are missing; leave them out")
