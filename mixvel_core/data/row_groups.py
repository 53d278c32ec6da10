"""Row groups: the pieces in which Parquet files are read, in any order, ahead of use and in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from attrs import frozen

from mixvel_core.data.columns import Column
from mixvel_core.data.places import opened
from mixvel_core.errors import DataError


class GroupReader(Protocol):
    """Reads row groups ahead of whoever takes them. What comes out depends on the groups alone, never on the reader."""

    def read(self, groups: Sequence[RowGroup], column: Column, ahead: int) -> Generator[np.ndarray]:
        """The items of each group, (rows, *data), in the order given; closing it ends the reading.

        ``ahead``: groups that may be in memory before they are asked for. Raises DataError, naming the file.
        """
        ...


@frozen(kw_only=True)
class ThreadReader:
    """Reads with pyarrow in ``threads`` threads, which wait for each other's storage but not for Python."""

    threads: int = 2

    def read(self, groups: Sequence[RowGroup], column: Column, ahead: int) -> Generator[np.ndarray]:
        """The items of each group, in order, read ahead by the threads."""
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="reading")
        coming: deque[Future[np.ndarray]] = deque()
        try:
            for group in groups:
                coming.append(pool.submit(read_items, group, column))
                if len(coming) > ahead:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


@frozen(kw_only=True)
class RowGroup:
    """``rows`` items: number ``index`` of the row groups of the file at ``uri``."""

    uri: str
    index: int
    rows: int


def groups_of(uri: str) -> list[RowGroup]:
    """The row groups of a file, which are known from its end alone. Raises DataError."""
    with opened(uri) as file:
        about = file.metadata
        return [RowGroup(uri=uri, index=i, rows=about.row_group(i).num_rows) for i in range(about.num_row_groups)]


def read_values(group: RowGroup, name: str) -> Any:
    """One column of a row group, as one pyarrow Array, and nothing else of the file. Raises DataError."""
    with opened(group.uri) as file:
        if group.index >= file.metadata.num_row_groups:
            raise DataError(f"{group.uri}: has no row group {group.index}; it was replaced, make the shards again")
        if name not in file.schema_arrow.names:
            held = ", ".join(file.schema_arrow.names)
            raise DataError(f"{group.uri}: has no column {name!r} (it holds {held}); name one of these")
        # One column is one task: threads would only be in the way of those that read other groups.
        values = file.read_row_group(group.index, columns=[name], use_threads=False).column(name).combine_chunks()
    if len(values) != group.rows:
        raise DataError(
            f"{group.uri}: row group {group.index} has {len(values)} rows, not {group.rows}; it was replaced"
        )
    return values


def read_items(group: RowGroup, column: Column) -> np.ndarray:
    """The items of a row group, (rows, *data); may be read-only memory. Raises DataError, naming the file."""
    values = read_values(group, column.name)
    return decoded(values, column, group.uri)


def decoded(values: Any, column: Column, where: str) -> np.ndarray:
    """Values as items; what is wrong with them is said of ``where``."""
    try:
        return column.decode(values)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
