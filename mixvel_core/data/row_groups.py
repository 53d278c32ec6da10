"""Parquet files: where they lie, paths and URIs of any file system that fsspec knows, and the row groups in which they
are read, in any order, ahead of use and in threads.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from attrs import frozen

from mixvel_core.data.columns import Column
from mixvel_core.data.listing import is_hidden, splits_among
from mixvel_core.errors import DataError, UnreadableError


def file_system(uri: str) -> tuple[Any, str]:
    """The file system of ``uri``, a path or for example ``s3://bucket/folder``, and the path in it.

    Raises DataError for a protocol that is unknown or whose package is not installed, naming the package.
    """
    from fsspec.core import url_to_fs
    from fsspec.registry import known_implementations

    protocol = uri.partition("://")[0] if "://" in uri else "file"
    try:
        system, path = url_to_fs(uri)
    except ImportError:
        package = known_implementations[protocol]["class"].partition(".")[0]
        raise DataError(f"{uri}: {protocol}:// needs a package of its own; pip install {package}") from None
    except ValueError as error:
        raise DataError(f"{uri}: cannot be used ({one_line(error)}); take a path, file://, s3://, gs://, ...") from None
    return system, path


def local_path(uri: str) -> Path | None:
    """The path of ``uri`` if it is on this machine's own file system."""
    if "://" not in uri:
        return Path(uri)
    return Path(file_system(uri)[1]) if uri.startswith(("file://", "local://")) else None


def parquet_files(uri: str) -> list[str]:
    """The Parquet files at ``uri``, as ``parquet_listing`` finds them."""
    return parquet_listing(uri)[0]


def parquet_listing(uri: str) -> tuple[list[str], str]:
    """The Parquet files at ``uri``, which is a file, a folder (all below it) or a glob; sorted, as URIs. And how many
    files there are in a folder, and how many of them are left out.

    Files in a folder that are hidden, or whose name or folder begins with an underscore, as other programs call their
    own, are no data. Raises DataError where there are none, or a folder holds several splits.
    """
    text = ""
    system, path = file_system(uri)
    with reading(uri):
        # A name that is there is meant as it is, brackets and all.
        if system.isfile(path):
            found = [path]
        elif system.isdir(path):
            below = {name: name[len(path) :].strip("/").split("/") for name in system.find(path)}
            found = [name for name, parts in below.items() if _is_data(parts)]
            _refuse_splits(uri, [below[name] for name in found])
            others = [name for name in sorted(below) if name not in found]
            named = ", ".join("/".join(below[name]) for name in others[:3]) + (", ..." if len(others) > 3 else "")
            text = f"{len(below)} files, {len(found)} of Parquet" + (f", left out: {named}" if others else "")
        else:
            found = system.glob(path) if any(sign in path for sign in "*?[") else []
    if not found:
        raise DataError(f"{uri}: holds no Parquet file; put the data there or change `path`")
    return sorted(found if local_path(uri) else [system.unstrip_protocol(name) for name in found]), text


def _is_data(parts: Sequence[str]) -> bool:
    return parts[-1].endswith((".parquet", ".pq")) and not any(is_hidden(p) or p.startswith("_") for p in parts)


def _refuse_splits(uri: str, files: Sequence[Sequence[str]]) -> None:
    """Raises DataError where folders or the first words of names are splits, as in test-00000-of-00001.parquet."""
    words = {word for *folders, name in files for word in (*folders, re.split(r"[-_.]", name)[0])}
    if splits := splits_among(words):
        some = "**/*.parquet" if any(len(parts) > 1 for parts in files) else "*.parquet"
        is_folder = any(splits[-1] in parts[:-1] for parts in files)
        one = f"{splits[-1]}/*.parquet" if is_folder else f"{splits[-1]}*.parquet"
        raise DataError(
            f"{uri}: holds the splits {' and '.join(splits)}; name one, as in `path: {uri.rstrip('/')}/{one}`, or "
            f"all, `path: {uri.rstrip('/')}/{some}`"
        )


@contextmanager
def reading(uri: str) -> Iterator[None]:
    """What goes wrong in the block is wrong with ``uri``: an UnreadableError that names it."""
    from pyarrow import ArrowException

    try:
        yield
    except FileNotFoundError:
        raise UnreadableError(f"{uri}: does not exist; put it back or change where it is looked for") from None
    except (OSError, ArrowException, EOFError) as error:
        raise UnreadableError(
            f"{uri}: cannot be read ({one_line(error)}); put back a whole file, or make it again"
        ) from None


@contextmanager
def opened(uri: str) -> Iterator[Any]:
    """A pyarrow ``ParquetFile``. Raises DataError, naming ``uri``, where it cannot be opened or what is read of it in
    the block is damaged."""
    from pyarrow.parquet import ParquetFile

    path = local_path(uri)
    with reading(uri):
        if path is not None:
            with ParquetFile(path, page_checksum_verification=True) as file:
                yield file
        else:
            system, remote = file_system(uri)
            with system.open(remote, "rb") as raw, ParquetFile(raw, page_checksum_verification=True) as file:
                yield file


def one_line(error: BaseException) -> str:
    """The message of an error of others, which may have many lines."""
    return " ".join(str(error).split()) or type(error).__name__


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
        raise UnreadableError(f"{where}: {error}") from None
