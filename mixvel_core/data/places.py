"""Where files lie: paths and URIs of any file system that fsspec knows, and one line for whatever is wrong with one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mixvel_core.errors import DataError


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
    """The Parquet files at ``uri``, which is a file, a folder (all below it) or a glob; sorted, as URIs.

    Raises DataError where there are none.
    """
    system, path = file_system(uri)
    with reading(uri):
        if any(sign in path for sign in "*?["):
            found = system.glob(path)
        elif system.isdir(path):
            found = [name for name in system.find(path) if name.endswith((".parquet", ".pq"))]
        else:
            found = [path] if system.isfile(path) else []
    if not found:
        raise DataError(f"{uri}: holds no Parquet file; put the data there or change `path`")
    return sorted(found if local_path(uri) else [system.unstrip_protocol(name) for name in found])


@contextmanager
def reading(uri: str) -> Iterator[None]:
    """What goes wrong in the block is wrong with ``uri``: a DataError that names it."""
    from pyarrow import ArrowException

    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{uri}: does not exist; put it back or change where it is looked for") from None
    except (OSError, ArrowException, EOFError) as error:
        raise DataError(f"{uri}: cannot be read ({one_line(error)}); put back a whole file, or make it again") from None


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
