"""Items in Parquet files: the list of a shard's files and row groups, and reading at any positions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import asdict, define, field, frozen

from mixvel_core.artifacts.files import named_in, read_json, write_json
from mixvel_core.data.columns import Column, RawColumn
from mixvel_core.data.items import Joined, indices_of
from mixvel_core.data.parquet_writing import WrittenFile
from mixvel_core.data.row_groups import RowGroup, read_items
from mixvel_core.errors import ArtifactError
from mixvel_core.protocols import Items

STREAM = "stream.json"


def write_stream(folder: Path, place: str | None, column: RawColumn, files: Sequence[WrittenFile], window: int) -> None:
    """Lists ``files``, which lie at the URI ``place`` or, if None, in ``folder`` itself."""
    about = {
        "place": place,
        "column": column.name,
        "shape": list(column.stored),
        "type": column.kind,
        "window": window,
        "files": [asdict(file) for file in files],
    }
    write_json(folder / STREAM, about)


def read_stream(folder: Path) -> ParquetItems:
    """The items of the shard in ``folder``. Raises ArtifactError where the list is absent or damaged."""
    about = read_json(folder / STREAM)
    try:
        column = RawColumn(name=about["column"], stored=tuple(about["shape"]), kind=about["type"])
        groups = tuple(
            RowGroup(uri=f"{about['place'] or folder}/{name}", index=i, rows=rows)
            for file in about["files"]
            # The place may be anywhere; what is listed lies there.
            for name in [named_in(folder, file["name"]).relative_to(folder)]
            for i, rows in enumerate(file["groups"])
        )
        return ParquetItems(groups=groups, column=column, window=about["window"])
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{folder / STREAM}: damaged ({error}); remove it and run the recipe again") from None


@frozen(kw_only=True)
class Stream:
    """Items to be read as a stream: ``groups`` in their own order, shuffled in windows of ``window`` groups."""

    groups: tuple[RowGroup, ...]
    column: Column
    window: int


@define(kw_only=True, eq=False)
class ParquetItems:
    """The items of row groups, one group after the other.

    At most one row group is in memory besides what is asked for: items in order are read once, items at random cost a
    row group each. ``window``: for those that are to be read as a stream; None otherwise.
    """

    groups: tuple[RowGroup, ...]
    column: Column
    window: int | None = None
    _ends: np.ndarray = field(init=False)
    _last: tuple[int, np.ndarray] | None = field(init=False, default=None)

    @_ends.default
    def _ends_of_groups(self) -> np.ndarray:
        return np.cumsum([group.rows for group in self.groups], dtype=np.int64)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of all items, (n, *data)."""
        return (len(self), *self.column.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the numbers, uint8 or float32."""
        return self.column.dtype

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, rows: np.ndarray | slice, /) -> np.ndarray:
        wanted = indices_of(rows, len(self))
        found = np.empty((len(wanted), *self.column.shape), self.dtype)
        home = np.searchsorted(self._ends, wanted, side="right")
        for g in np.unique(home).tolist():
            mine = home == g
            found[mine] = self._group(g)[wanted[mine] - (self._ends[g] - self.groups[g].rows)]
        return found

    def _group(self, g: int) -> np.ndarray:
        if self._last is None or self._last[0] != g:
            self._last = None  # two groups are never held together
            self._last = g, read_items(self.groups[g], self.column)
        return self._last[1]


def stream_of(items: Items) -> Stream | None:
    """How ``items`` are to be streamed; None for those that are read at any positions."""
    if isinstance(items, ParquetItems) and items.window is not None:
        return Stream(groups=items.groups, column=items.column, window=items.window)
    if isinstance(items, Joined):
        found = [stream_of(part) for part in items.parts]
        streams = [stream for stream in found if stream is not None]
        if len(streams) == len(found) and all(stream.column == streams[0].column for stream in streams):
            groups = tuple(group for stream in streams for group in stream.groups)
            return Stream(groups=groups, column=streams[0].column, window=streams[0].window)
    return None
