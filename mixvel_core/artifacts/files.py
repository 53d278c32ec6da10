"""Files that are whole or absent: temporary file, fsync, rename; JSON, text and NumPy arrays, with checksums."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mixvel_core.errors import ArtifactError

_UNFINISHED = ".unfinished"
_CHECKSUM = "seal"
_LONGEST_JSON = 1 << 26
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""Errors of writing alone. Others may come from what is read to be written, and are not ours to reword."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Names ``path`` where there is no room for what the block writes: the system's own error does not."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise ArtifactError(
            f"{path}: cannot be written ({error.strerror}); what was there is kept; make room, then run the same again"
        ) from None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends well, and is removed if not.

    Raises ArtifactError, naming ``path``, where there is no room.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_UNFINISHED, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            # mkstemp makes private files; a run folder is read by colleagues.
            temporary.chmod(0o644)
            temporary.replace(path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Removes what processes that were killed were writing, anywhere below ``folder``. Nobody may be writing there."""
    for path in folder.rglob(f".*{_UNFINISHED}"):
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` as indented JSON with sorted keys, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file. Raises ArtifactError where it is absent or damaged, or was never meant to be read."""
    try:
        if path.exists() and not path.is_file():
            raise ValueError("not a file")
        if path.stat().st_size > _LONGEST_JSON:
            raise ValueError(f"longer than {_LONGEST_JSON >> 20} MiB")
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{path}: missing; run the recipe again to make it") from None
    # Brackets in brackets without end are a recursion without end; numbers of too many digits are no JSONDecodeError.
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: damaged ({error}); remove it and run the recipe again") from None


def write_checksummed_json(path: Path, value: dict[str, Any]) -> None:
    """Writes an object as JSON with a checksum of itself, ``seal``: for files that no record knows."""
    # As it will be read back: names that are numbers here are texts there, and are sorted otherwise.
    read_back = json.loads(json.dumps(value))
    write_json(path, {**read_back, _CHECKSUM: _json_checksum(read_back)})


def read_checksummed_json(path: Path) -> dict[str, Any]:
    """The object in a file of ``write_sealed_json``. Raises ArtifactError where it is absent, damaged or altered.

    A file without a seal is from before there were any, and is taken as it is.
    """
    found = read_json(path)
    if not isinstance(found, dict) or (_CHECKSUM in found and found.pop(_CHECKSUM) != _json_checksum(found)):
        raise ArtifactError(f"{path}: damaged (its contents do not match its seal); remove it and make it again")
    return found


def _json_checksum(value: dict[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def checksum(path: Path) -> str:
    """BLAKE2b of a file's bytes, 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_array(path: Path, array: np.ndarray) -> None:
    """An NPY file."""
    about = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
    with replacing(path) as temporary, temporary.open("wb") as file:
        # Not numpy.save: where the disk is full, it says so in an error that has no number and no reason.
        np.lib.format.write_array_header_1_0(file, about)
        file.write(np.ascontiguousarray(array).data)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """An NPZ file of arrays by name."""
    # Typed as Any, because among the names of arrays numpy's own options could stand.
    named: dict[str, Any] = dict(arrays)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **named)


def map_array(path: Path) -> np.ndarray:
    """The array of an NPY file, memory-mapped. Raises ArtifactError where there is none."""
    with _reading(path):
        return np.lib.format.open_memmap(path, mode="r")


def read_arrays(path: Path, *names: str) -> tuple[np.ndarray, ...]:
    """The arrays of an NPZ file that are called ``names``. Raises ArtifactError where they are not all there."""
    # Opened here: NumPy leaves a file open that it cannot read.
    with _reading(path), path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as arrays:
        return tuple(arrays[name] for name in names)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # Any: a damaged archive makes zipfile, zlib, struct and NumPy raise what none of them lists.
        reason = " ".join(str(error).split())
        raise ArtifactError(f"{path}: damaged ({reason}); remove it and run the recipe again") from None
