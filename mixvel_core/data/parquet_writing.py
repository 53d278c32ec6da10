"""Writing one shard as Parquet files of row groups, an arriving block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, Any

import numpy as np
from attrs import define, field, frozen

from mixvel_core.artifacts.files import replacing
from mixvel_core.data.columns import RawColumn
from mixvel_core.data.places import file_system, local_path, one_line
from mixvel_core.errors import DataError

GROUP_BYTES = 1 << 22
"""A row group: small enough that a window of several fits in memory, large enough to be worth a request."""
GROUPS_IN_FILE = 64


@frozen(kw_only=True)
class WrittenFile:
    """A file of a shard: ``name`` below the shard's place, and the rows of each of its row groups."""

    name: str
    groups: tuple[int, ...]


@define(kw_only=True)
class ShardWriter:
    """Writes items to ``items-00000.parquet``, ... below ``place``, a folder or URI.

    ``rows``: items in a row group. Each file is whole or absent, as far as its file system can promise that.
    """

    place: str
    column: RawColumn
    rows: int
    files: list[WrittenFile] = field(factory=list, init=False)
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
        error = _AbandonedError()
        with suppress(_AbandonedError):
            self._file.__exit__(_AbandonedError, error, None)
            raise error

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
            self.files.append(WrittenFile(name=self._name, groups=tuple(self._groups)))
            self._writer = None
            self._groups.clear()

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
