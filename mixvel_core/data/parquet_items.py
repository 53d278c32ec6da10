"""Items in Parquet files: a shard written block by block, the list of its files, and reading at any positions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from attrs import define, field, frozen

from mixvel_core.artifacts.files import named_in, read_json, replacing, write_json
from mixvel_core.data.columns import Column, RawColumn
from mixvel_core.data.items import Joined, indices_of
from mixvel_core.data.row_groups import RowGroup, file_system, local_path, one_line, read_items
from mixvel_core.errors import ArtifactError, DataError
from mixvel_core.protocols import Items

STREAM = "stream.json"
GROUP_BYTES = 1 << 22
"""A row group: small enough that a window of several fits in memory, large enough to be worth a request."""
GROUPS_IN_FILE = 64


@define(kw_only=True)
class ShardWriter:
    """Writes items to ``items-00000.parquet``, ... below ``place``, a folder or URI.

    ``rows``: items in a row group. Each file is whole or absent, as far as its file system can promise that.
    ``files``: by name below ``place``, the rows of each row group.
    """

    place: str
    column: RawColumn
    rows: int
    files: dict[str, list[int]] = field(factory=dict, init=False)
    _waiting: list[np.ndarray] = field(factory=list, init=False)
    _file: ExitStack = field(factory=ExitStack, init=False)
    _writer: Any = field(default=None, init=False)
    _groups: list[int] = field(factory=list, init=False)

    def write(self, block: np.ndarray) -> None:
        """Takes items (n, *data); they are written once they fill a row group."""
        while len(block):
            room = self.rows - sum(map(len, self._waiting))
            self._waiting.append(block[:room])
            block = block[room:]
            if len(self._waiting[-1]) == room:
                self._write_group()

    def finish(self) -> None:
        """Writes what is left."""
        if self._waiting:
            self._write_group()
        self._close()

    def abandon(self) -> None:
        """Leaves no unfinished file behind."""
        with suppress(_AbandonedError), self._file:
            raise _AbandonedError

    def _write_group(self) -> None:
        import pyarrow as pa

        raw = np.ascontiguousarray(np.concatenate(self._waiting), self.column.dtype)
        self._waiting.clear()
        kind = pa.binary(raw.nbytes // len(raw))
        values = pa.FixedSizeBinaryArray.from_buffers(kind, len(raw), [None, pa.py_buffer(raw)])
        table = pa.table({self.column.name: values})
        if self._writer is None:
            self._open(table.schema)
        self._writer.write_table(table, row_group_size=len(raw))
        self._groups.append(len(raw))
        if len(self._groups) == GROUPS_IN_FILE:
            self._close()

    def _open(self, schema: Any) -> None:
        from pyarrow.parquet import ParquetWriter

        raw = self._file.enter_context(_written(f"{self.place}/{self._name}"))
        # Items are all different, and nobody looks for one by its value.
        self._writer = self._file.enter_context(
            ParquetWriter(
                raw, schema, compression="zstd", use_dictionary=False, write_statistics=False, write_page_checksum=True
            )
        )

    def _close(self) -> None:
        if self._writer is not None:
            self._file.close()
            self.files[self._name] = self._groups
            self._writer, self._groups = None, []

    @property
    def _name(self) -> str:
        return f"items-{len(self.files):05d}.parquet"


@contextmanager
def shard_writer(place: str, shape: tuple[int, ...], dtype: np.dtype[Any], rows: int | None) -> Iterator[ShardWriter]:
    """A writer of items (n, *shape) that finishes with the block, or leaves no unfinished file where it fails.

    ``rows``: items in a row group, as many as make about ``GROUP_BYTES`` if None.
    """
    kind = dtype.newbyteorder("<").str if dtype.itemsize > 1 else dtype.str
    column = RawColumn(name="item", stored=shape, kind=kind)
    size = max(1, int(np.prod(shape)) * dtype.itemsize)
    writer = ShardWriter(place=place, column=column, rows=rows or max(1, GROUP_BYTES // size))
    try:
        yield writer
        writer.finish()
    except BaseException:
        writer.abandon()
        raise


class _AbandonedError(Exception):
    """What an unfinished file is left with."""


@contextmanager
def _written(uri: str) -> Iterator[IO[bytes]]:
    """A file that is whole or absent: renamed here, and there shown by object stores once it is closed."""
    path = local_path(uri)
    try:
        if path is not None:
            with replacing(path) as temporary, temporary.open("wb") as file:
                yield file
        else:
            system, remote = file_system(uri)
            system.makedirs(remote.rpartition("/")[0], exist_ok=True)
            with system.open(remote, "wb") as file:
                yield file
    except OSError as error:
        raise DataError(f"{uri}: cannot be written ({one_line(error)}); make room or choose another place") from None


def write_stream(
    folder: Path, place: str | None, column: RawColumn, files: Mapping[str, list[int]], window: int
) -> None:
    """Lists ``files``, which lie at the URI ``place`` or, if None, in ``folder`` itself."""
    about = {
        "place": place,
        "column": column.name,
        "shape": list(column.stored),
        "type": column.kind,
        "window": window,
        "files": [{"name": name, "groups": groups} for name, groups in files.items()],
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
        return (len(self), *self.column.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
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
