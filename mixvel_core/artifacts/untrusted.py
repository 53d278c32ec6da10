"""Files from elsewhere: where their lists may lead, how long they may be; NumPy files of others, never unpickled."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

import numpy as np

from mixvel_core.errors import ArtifactError, DataError


def named_in(folder: Path, name: object) -> Path:
    """The file called ``name`` in a list that lies in ``folder``, which may be a stranger's.

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


def read_npy(path: Path) -> np.ndarray:
    """The array of an .npy file, memory-mapped."""
    with _reading(path):
        # Copy-on-write rather than read-only: torch warns about arrays it could not write to.
        return np.lib.format.open_memmap(path, mode="c")


def read_npz(path: Path, *names: str) -> list[np.ndarray]:
    """The arrays of an .npz file that are called ``names``, read into memory."""
    # Opened here, not by NumPy, which leaves a file open that turns out to be no archive.
    with _reading(path), path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
        for name in names:
            if name not in archive.files:
                held = ", ".join(archive.files) or "nothing"
                raise DataError(f"{path}: has no array {name!r} (it holds {held}); name one of these")
        return [_read_member(archive, path, name) for name in names]


def _read_member(archive: np.lib.npyio.NpzFile, path: Path, name: str) -> np.ndarray:
    with _reading(path, name):
        array = archive[name]
        if not isinstance(array, np.ndarray):
            # A member of a zip file that is no NumPy array comes back as its bytes.
            raise ValueError("no NumPy array")
        return array


@contextmanager
def _reading(path: Path, name: str = "") -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path}: does not exist; put the data there or change `path`") from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())
        where = f"{path}, array {name!r}" if name else str(path)
        raise DataError(
            f"{where}: cannot be read ({reason}); expected uint8 or float arrays as numpy.save or numpy.savez write"
        ) from None
