"""Data from Parquet files: items of one column, whose kind follows from its type and its first value."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from attrs import frozen

from mixvel_core.data.columns import Column, ListColumn, PictureColumn, RawColumn, picture_bytes, pixels
from mixvel_core.data.parquet_items import ParquetItems
from mixvel_core.data.row_groups import RowGroup, groups_of, opened, parquet_files, read_values
from mixvel_core.errors import DataError
from mixvel_core.field.padded import padded_data
from mixvel_core.protocols import Data, Streaming
from mixvel_data.hooks import Layout, ParquetOptions


def item_column(group: RowGroup, name: str, shape: tuple[int, ...] | None, kind: str, layout: Layout) -> Column:
    """The column ``name`` as its first value in the row group shows it.

    ``shape``: of an item in the file; that of the first value if None, where it shows one. ``kind``: of raw bytes,
    uint8 or float32. ``layout``: the order of the axes of images. Raises DataError where there is no such column, or
    its values are no items.
    """
    import pyarrow as pa

    values = read_values(group, name)
    where = f"{group.uri}: column {name!r}"
    first = values.slice(0, 1)
    is_bytes = pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type)
    is_struct = pa.types.is_struct(values.type)
    if is_struct and "bytes" not in [values.type.field(i).name for i in range(values.type.num_fields)]:
        raise DataError(f"{where} is a struct without `bytes`; take a column of pictures, bytes or lists")
    if is_struct or (is_bytes and shape is None):
        return PictureColumn(name=name, shape=pixels(picture_bytes(first, name)[0], None, where).shape)
    if is_bytes or pa.types.is_fixed_size_binary(values.type):
        return _raw(name, shape, kind, layout, where)
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type) or pa.types.is_fixed_size_list(values.type):
        return _lists(first, name, shape, layout, where)
    raise DataError(f"{where} holds {values.type} values; take a column of pictures, bytes or lists")


def _raw(name: str, shape: tuple[int, ...] | None, kind: str, layout: Layout, where: str) -> RawColumn:
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


@frozen(kw_only=True)
class ParquetSource(ParquetOptions):
    """Items of one column of Parquet files, with labels and attributes from others."""

    def load(self) -> Data:
        """Everything but the items, which are read where indexed: the ends of files, and the columns of labels.

        Raises DataError, with the file and the remedy, where nothing is there or it cannot be used.
        """
        groups = tuple(group for uri in parquet_files(self.path) for group in groups_of(uri) if group.rows)
        if not groups:
            raise DataError(f"{self.path}: its files have no rows; put the data there or change `path`")
        items = ParquetItems(
            groups=groups, column=item_column(groups[0], self.column, self.shape, self.type, self.layout)
        )
        kept = Streaming(store=self.store, window=self.window, row_group=self.row_group)
        labels, classes = (None, "") if self.label is None else as_labels(self._column(groups, self.label), self.label)
        provenance = {"source": f"Parquet data in {self.path}", "count": str(len(items)), "stored as": str(items.dtype)}
        data = Data(
            items=items,
            labels=labels,
            attributes={name: self._column(groups, name) for name in self.attributes},
            provenance=provenance | ({"classes": classes} if classes else {}),
            streaming=kept if self.streaming else None,
        )
        return padded_data(data, self.pad, self.path)

    def _column(self, groups: tuple[RowGroup, ...], name: str) -> np.ndarray:
        """A column of all files, (n,); nothing else of them is read."""
        parts = []
        for uri in dict.fromkeys(group.uri for group in groups):
            with opened(uri) as file:
                if name not in file.schema_arrow.names:
                    held = ", ".join(file.schema_arrow.names)
                    raise DataError(f"{uri}: has no column {name!r} (it holds {held}); name one of these")
                values = file.read(columns=[name]).column(name)
            if values.null_count:
                raise DataError(f"{uri}: column {name!r} has {values.null_count} missing values; leave these rows out")
            parts.append(values.to_numpy())
        return np.concatenate(parts)


def as_labels(values: np.ndarray, name: str) -> tuple[np.ndarray, str]:
    """Labels (n,) int64, and what they mean where the values are text: numbers by their order."""
    if values.dtype.kind in "iub":
        return values.astype(np.int64), ""
    if values.dtype.kind in "OU" and all(isinstance(value, str) for value in values):
        texts, labels = np.unique(values.astype(str), return_inverse=True)
        return labels.astype(np.int64), ", ".join(f"{k} {text}" for k, text in enumerate(texts[:100]))
    raise DataError(f"column {name!r}: {_kind(values)} are no labels; take a column of whole numbers or text")


def _kind(values: Any) -> str:
    return f"{values.dtype} values" if values.dtype.kind != "O" else f"values like {values[0]!r}"
