"""Data from Parquet files, here or on any file system that fsspec knows, read a row group at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen

from mixvel_core.errors import DataError
from mixvel_core.protocols import Data, Streaming
from mixvel_core.store.parquet_items import ParquetItems
from mixvel_core.store.places import opened, parquet_files
from mixvel_core.store.row_groups import RowGroup, groups_of
from mixvel_data.item_arrays import Layout
from mixvel_data.parquet_columns import item_column


@frozen(kw_only=True)
class ParquetSource:
    """Items of one column, and of others what is known of each.

    ``path``: a file, a folder or a glob; a path or a URI. ``column``: of items. ``label``: of labels. ``attributes``:
    of whatever else is to be known. ``shape``, ``kind``, ``layout``: of raw bytes and lists. ``streaming``: how shards
    are kept, or None.
    """

    path: str
    column: str
    label: str | None = None
    attributes: tuple[str, ...] = ()
    shape: tuple[int, ...] | None = None
    kind: str = "uint8"
    layout: Layout = "channels-first"
    streaming: Streaming | None = None

    def load(self) -> Data:
        """Everything but the items, which are read when asked: the ends of files, and whole columns of labels.

        Raises:
            DataError: nothing is there, or cannot be used; names the file and the remedy.
        """
        groups = tuple(group for uri in parquet_files(self.path) for group in groups_of(uri) if group.rows)
        if not groups:
            raise DataError(f"{self.path}: its files have no rows; put the data there or change `path`")
        items = ParquetItems(
            groups=groups, column=item_column(groups[0], self.column, self.shape, self.kind, self.layout)
        )
        labels, classes = (None, "") if self.label is None else as_labels(self._whole(groups, self.label), self.label)
        provenance = {"source": f"Parquet data in {self.path}", "count": str(len(items)), "stored as": str(items.dtype)}
        return Data(
            items=items,
            labels=labels,
            attributes={name: self._whole(groups, name) for name in self.attributes},
            provenance=provenance | ({"classes": classes} if classes else {}),
            streaming=self.streaming,
        )

    def _whole(self, groups: tuple[RowGroup, ...], name: str) -> np.ndarray:
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
