"""What a column of a Parquet file holds: found out from its type and its first value."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mixvel_core.errors import DataError
from mixvel_core.store.columns import Column, ListColumn, PictureColumn, RawColumn, picture_bytes, pixels
from mixvel_core.store.row_groups import RowGroup, read_values
from mixvel_data.item_arrays import Layout


def item_column(group: RowGroup, name: str, shape: tuple[int, ...] | None, kind: str, layout: Layout) -> Column:
    """The column ``name`` as the row group shows it.

    Args:
        group: whose first value is looked at.
        name: of the column.
        shape: of an item in the file; that of the first value if None, where it shows one.
        kind: of raw bytes, uint8 or float32.
        layout: the order of the axes of images.

    Raises:
        DataError: there is no such column, or its values are no items.
    """
    import pyarrow as pa

    values = read_values(group, name)
    where = f"{group.uri}: column {name!r}"
    first = values.slice(0, 1)
    is_bytes = pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type)
    if pa.types.is_struct(values.type):
        if "bytes" not in [values.type.field(i).name for i in range(values.type.num_fields)]:
            raise DataError(f"{where} is a struct without `bytes`; take a column of pictures, bytes or lists")
        return _pictures(first, name, where)
    if pa.types.is_fixed_size_binary(values.type) or (is_bytes and shape is not None):
        return _raw(first, name, shape, kind, layout, where)
    if is_bytes:
        return _pictures(first, name, where)
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type) or pa.types.is_fixed_size_list(values.type):
        return _lists(first, name, shape, layout, where)
    raise DataError(f"{where} holds {values.type} values; take a column of pictures, bytes or lists")


def _pictures(first: Any, name: str, where: str) -> PictureColumn:
    return PictureColumn(name=name, shape=pixels(picture_bytes(first, name)[0], None, where).shape)


def _raw(first: Any, name: str, shape: tuple[int, ...] | None, kind: str, layout: Layout, where: str) -> RawColumn:
    if shape is None:
        raise DataError(f"{where} holds raw bytes; say their `shape`, for example [3, 64, 64]")
    stored, axes = _arranged(shape, layout, where)
    return RawColumn(name=name, stored=stored, kind=np.dtype(kind).newbyteorder("<").str, axes=axes)


def _lists(first: Any, name: str, shape: tuple[int, ...] | None, layout: Layout, where: str) -> ListColumn:
    try:
        array = np.array(first.to_pylist()[0])
    except (ValueError, TypeError):
        array = np.array(None)
    if array.dtype.kind not in "iuf":
        raise DataError(f"{where} does not hold lists of numbers that are all alike")
    leaf = first.type
    while hasattr(leaf, "value_type"):
        leaf = leaf.value_type
    if str(leaf) not in ("uint8", "float", "double", "halffloat"):
        raise DataError(f"{where} holds {leaf} values; expected uint8, or floats in [-1, 1]")
    if shape is not None and math.prod(shape) != array.size:
        raise DataError(f"{where}: values of {array.size} numbers are not {list(shape)}; change `shape`")
    stored, axes = _arranged(shape or array.shape, layout, where)
    return ListColumn(name=name, stored=stored, kind="|u1" if str(leaf) == "uint8" else "<f4", axes=axes)


def _arranged(shape: tuple[int, ...], layout: Layout, where: str) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """The shape in the file with a channel where there is none, and how its axes become (C, H, W)."""
    if len(shape) not in (1, 2, 3):
        raise DataError(f"{where}: items of shape {list(shape)}; expected (D,), (H, W), (C, H, W) or (H, W, C)")
    if len(shape) == 2:
        return (1, *shape), None
    return shape, (2, 0, 1) if len(shape) == 3 and layout == "channels-last" else None
