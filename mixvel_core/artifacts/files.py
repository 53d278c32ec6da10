"""Files that are complete or absent: temporary file, fsync, rename; text and JSON; digests and checksums; files from
elsewhere, where the names in their lists may lead, and how long they may be."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

from mixvel_core.errors import ArtifactError

_UNFINISHED = ".unfinished"
_CHECKSUM = "checksum"
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
    """Removes what processes that were killed were writing, anywhere below ``folder``, where none may be at work."""
    for path in folder.rglob(f".*{_UNFINISHED}"):
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` as UTF-8, completely or not at all; of names that are not UTF-8, their bytes as escapes."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` as indented JSON with sorted keys, completely or not at all."""
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
    """Writes an object as JSON with a checksum of itself: for files that no record lists."""
    # As it will be read back: names that are numbers here are texts there, and are sorted otherwise.
    read_back = json.loads(json.dumps(value))
    write_json(path, {**read_back, _CHECKSUM: digest_of(read_back)})


def read_checksummed_json(path: Path) -> dict[str, Any]:
    """The object in a file of ``write_checksummed_json``, without its checksum.

    Raises ArtifactError where it is absent, damaged or altered.
    """
    found = read_json(path)
    if not isinstance(found, dict) or found.pop(_CHECKSUM, None) != digest_of(found):
        raise ArtifactError(f"{path}: damaged (its contents do not match its checksum); remove it and make it again")
    return found


def digest(blocks: Iterable[bytes | memoryview]) -> str:
    """The BLAKE2b digest of blocks one after the other, 128 bits as 32 hexadecimal digits."""
    found = hashlib.blake2b(digest_size=16)
    for block in blocks:
        found.update(block)
    return found.hexdigest()


def digest_of(value: Any) -> str:
    """The digest of plain data, as JSON with sorted keys."""
    return digest([json.dumps(value, sort_keys=True).encode()])


def checksum(path: Path) -> str:
    """The digest of a file's bytes."""
    with path.open("rb") as file:
        return digest(iter(lambda: file.read(1 << 20), b""))


def checksum_once(path: Path) -> str:
    """The same, read once by a process for as long as size and time of last change stay. Raises OSError."""
    found = path.stat()
    return _checksum_of(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=256)
def _checksum_of(path: Path, size: int, mtime_ns: int) -> str:
    return checksum(path)


def stats_of(paths: Iterable[Path]) -> list[list[object]]:
    """Name, size and time of last change (ns) of each file, in the order of the names."""
    found = ((path.name, path.stat()) for path in paths)
    return sorted([name, facts.st_size, facts.st_mtime_ns] for name, facts in found)


def named_in(folder: Path, name: object) -> Path:
    """The file called ``name`` in a list that lies in ``folder``, which may come from elsewhere.

    Raises ArtifactError where it would lead out of there: an absolute path, one with ``..``, or through a link.
    """
    parts = PurePath(name).parts if isinstance(name, str) and "\0" not in name else ()
    if not parts or PurePath(*parts).is_absolute() or ".." in parts:
        raise ArtifactError(f"{folder}: {name!r:.60} is not the name of a file in it; ask for the folder again")
    path = folder
    for part in parts:
        path = path / part
        if path.is_symlink():
            raise ArtifactError(f"{path}: a link; put the file itself there")
    return path


def check_fits_memory(path: Path) -> None:
    """Raises ArtifactError for a file that is longer than this machine's memory; nothing of it is read.

    What safetensors claims to hold is as long as the file, which it checks; but a file with holes may be of any length.
    """
    size, memory = path.stat().st_size, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > memory:
        raise ArtifactError(f"{path}: {size / 1e9:.0f} GB, more than this machine's memory of {memory / 1e9:.0f} GB")
