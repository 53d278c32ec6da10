"""Opens NumPy files that someone else wrote: nothing is unpickled, and what cannot be read is named."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import numpy as np

from mixvel_core.errors import DataError


def read_npy(path: Path) -> np.ndarray:
    """The array of an .npy file, memory-mapped."""
    with _reading(path):
        # Copy-on-write rather than read-only: torch warns about arrays it could not write to.
        array = np.load(path, mmap_mode="c", allow_pickle=False)
    # The content decides, not the name: numpy.load also opens an .npz file that is called .npy.
    if not isinstance(array, np.ndarray):
        array.close()
        raise DataError(f"{path}: is an .npz file by its content; rename it to end in .npz")
    return array


def read_npz(path: Path, *names: str) -> list[np.ndarray]:
    """The arrays of an .npz file that are called ``names``, read into memory."""
    with _reading(path):
        archive = np.load(path, allow_pickle=False)
    if isinstance(archive, np.ndarray):
        raise DataError(f"{path}: is an .npy file by its content; rename it to end in .npy")
    with archive:
        arrays = []
        for name in names:
            if name not in archive.files:
                held = ", ".join(archive.files) or "nothing"
                raise DataError(f"{path}: has no array {name!r} (it holds {held}); name one of these")
            with _reading(path, name):
                arrays.append(cast("np.ndarray", archive[name]))
    return arrays


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
