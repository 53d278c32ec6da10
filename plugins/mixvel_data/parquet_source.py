"""Data from Parquet files: items of one column, whose kind follows from its type and its first value."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from PIL import Image

from mixvel_core.artifacts.files import stats_of
from mixvel_core.data.columns import Column, ListColumn, PictureColumn, RawColumn, picture_bytes
from mixvel_core.data.conventions import Layout, axes_of
from mixvel_core.data.decoding import MOST_BITS, channels_of, decoded, decoded_file, is_dark, opened_file, refuse_dark
from mixvel_core.data.labels import as_labels, class_counts, named
from mixvel_core.data.parquet_items import ParquetItems
from mixvel_core.data.ranges import ranged, refuse_unclear
from mixvel_core.data.row_groups import (
    RowGroup,
    groups_of,
    local_path,
    opened,
    parquet_files,
    parquet_listing,
    read_values,
)
from mixvel_core.errors import DataError
from mixvel_core.field.padded import padded_data
from mixvel_core.protocols import Data, Items, Streaming
from mixvel_data.hooks import ParquetOptions


def item_column(groups: Sequence[RowGroup], options: ParquetOptions) -> Column:
    """The column of items, as its type and its first value show it.

    ``groups``: the row groups of all files; the first is read, and of pictures as many more as it takes to find one in
    colour. Raises DataError where there is no such column, or its values are no items.
    """
    import pyarrow as pa

    name, shape = options.column, options.shape
    values = read_values(groups[0], name)
    where = f"{groups[0].uri}: column {name!r}"
    first = values.slice(0, 1)
    is_bytes = pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type)
    is_struct = pa.types.is_struct(values.type)
    if is_struct and "bytes" not in [values.type.field(i).name for i in range(values.type.num_fields)]:
        raise DataError(f"{where} is a struct without `bytes`; take a column of pictures, bytes or lists")
    if is_struct or (is_bytes and shape is None):
        return _pictures(groups, first, options, where)
    if is_bytes or pa.types.is_fixed_size_binary(values.type):
        return _raw(options, where)
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type) or pa.types.is_fixed_size_list(values.type):
        return _lists(first, options, where)
    raise DataError(f"{where} holds {values.type} values; take a column of pictures, bytes or lists")


def _pictures(groups: Sequence[RowGroup], first: Any, options: ParquetOptions, where: str) -> PictureColumn:
    """The size of the first picture, and the channels that all of them need."""
    [file] = picture_bytes(first, options.column)
    # Before all others are looked at, because a column of other bytes fails here.
    channels: int = 1 if options.channels == "as-is" else options.channels
    height, width = decoded_file(file, channels, options.bits, f"{where}: a picture").pixels.shape[1:]
    if options.channels == "as-is":
        channels = channels_of("as-is", _opened(groups, options.column))
    bits = options.bits
    if channels == 1 and bits is None and (highest := _highest(groups, options.column)):
        refuse_dark(highest, None, where)
        bits = MOST_BITS
    return PictureColumn(name=options.column, shape=(channels, height, width), bits=bits)


def _highest(groups: Sequence[RowGroup], name: str) -> int:
    """The highest value of 16-bit grey pictures, as far as it takes to find one that is bright; 0 of 8-bit ones."""
    highest = 0
    for image in _opened(groups, name):
        if not image.mode.startswith("I;16"):
            return 0
        with suppress(Exception):  # any reason: it is named where its row group is decoded
            highest = max(highest, decoded(image, 1).highest)
        if not is_dark(highest):
            break
    return highest


def _opened(groups: Sequence[RowGroup], name: str) -> Iterator[Image.Image]:
    """The pictures of all row groups that can be opened; the others are named where they are decoded."""
    for group in groups:
        try:
            files = picture_bytes(read_values(group, name), name)
        except DataError as error:
            raise DataError(f"{group.uri}: {error}") from None
        for file in files:
            try:
                yield opened_file(file)
            except (OSError, SyntaxError, ValueError):
                continue


def _raw(options: ParquetOptions, where: str) -> RawColumn:
    if options.shape is None:
        raise DataError(f"{where} holds raw bytes; say their `shape`, for example [3, 64, 64]")
    stored, axes = _arranged(options.shape, options.layout, where)
    kind = np.dtype(options.type).newbyteorder("<").str
    return RawColumn(name=options.column, stored=stored, kind=kind, axes=axes)


def _lists(first: Any, options: ParquetOptions, where: str) -> ListColumn:
    try:
        array = np.array(first.to_pylist()[0])
    except (ValueError, TypeError):
        array = np.array(None)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where} does not hold lists of numbers that are all alike")
    leaf = first.type
    while hasattr(leaf, "value_type"):
        leaf = leaf.value_type
    if options.range is None and str(leaf) not in ("uint8", "float", "double", "halffloat"):
        raise DataError(
            f"{where} holds {leaf} values; expected uint8, or floats in [-1, 1]; add `range: uint8` where they are 0 "
            "to 255, or else the pair of numbers they lie between"
        )
    if options.shape is not None and math.prod(options.shape) != array.size:
        raise DataError(f"{where}: values of {array.size} numbers are not {list(options.shape)}; change `shape`")
    stored, axes = _arranged(options.shape or array.shape, options.layout, where)
    return ListColumn(name=options.column, stored=stored, kind="|u1" if str(leaf) == "uint8" else "<f4", axes=axes)


def _arranged(shape: tuple[int, ...], layout: Layout, where: str) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """The shape in the file with a channel where there is none, and how its axes become (C, H, W)."""
    if len(shape) not in (1, 2, 3):
        raise DataError(f"{where}: items of shape {list(shape)}; expected (D,), (H, W), (C, H, W) or (H, W, C)")
    axes = axes_of(shape, layout, where)
    return (1, *shape) if len(shape) == 2 else shape, axes


def _label_remedy(uri: str, items: str) -> str:
    """The columns that could be labels, by their types."""
    import pyarrow as pa

    with opened(uri) as file:
        fields = [field for field in file.schema_arrow if field.name != items]
    could_be = [f.name for f in fields if pa.types.is_integer(f.type) or pa.types.is_string(f.type)]
    could_be += [f.name for f in fields if pa.types.is_dictionary(f.type) or pa.types.is_boolean(f.type)]
    return f"name their column as `label` ({', '.join(could_be) or 'none'} could be)"


@frozen(kw_only=True)
class ParquetSource(ParquetOptions):
    """Items of one column of Parquet files, with labels and attributes from others."""

    def identity(self) -> Mapping[str, object]:
        """Names, sizes and times of change of the files; elsewhere than on this machine's disks their names."""
        uris = parquet_files(self.path)
        if local_path(self.path) is None:
            return {"files": uris}
        return {"files": stats_of(Path(uri) for uri in uris)}

    def load(self) -> Data:
        """Everything but the items, which are read where indexed: the ends of files, the columns of labels, and as many
        items as it takes to see their range, or the channels of pictures.

        Raises DataError, with the file and the remedy, where nothing is there or it cannot be used.
        """
        uris, files = parquet_listing(self.path)
        groups = tuple(group for uri in uris for group in groups_of(uri) if group.rows)
        if not groups:
            raise DataError(f"{self.path}: its files have no rows; put the data there or change `path`")
        items = self._items(groups)
        labels: np.ndarray | None = None
        texts: tuple[str, ...] = ()
        if self.label is not None:
            values = self._column(groups, self.label)
            labels, texts = as_labels(values, len(values), f"{self.path}: column {self.label!r}")
        names = named(labels, self.label_names, self.path) or texts
        kept = Streaming(store=self.store, window=self.window, row_group=self.row_group)
        about = {"source": f"Parquet data in {self.path}", "count": str(len(items)), "stored as": str(items.dtype)}
        about |= {"files": files} if files else {}
        about |= {} if labels is None else {"classes": class_counts(labels, names)}
        data = Data(
            items=items,
            labels=labels,
            label_names=names,
            attributes={name: self._column(groups, name) for name in self.attributes},
            provenance=about,
            streaming=kept if self.streaming else None,
            label_remedy=_label_remedy(groups[0].uri, self.column),
        )
        return padded_data(data, self.pad, self.path)

    def _items(self, groups: tuple[RowGroup, ...]) -> Items:
        """The items, in uint8 or float32 in [-1, 1]."""
        column = item_column(groups, self)
        stored = ParquetItems(groups=groups, column=column)
        if isinstance(column, PictureColumn):
            if self.range is not None:
                raise DataError(
                    f"{self.path}: column {self.column!r} holds pictures, which are bytes; leave out `range`"
                )
            return stored
        where = f"{self.path}: column {self.column!r}"
        items = ranged(stored, self.range, where)
        refuse_unclear(items, self.range, where)
        return items

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
