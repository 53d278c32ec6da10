"""Arrays in NumPy's files: written whole or not at all, never unpickled, and named where they are damaged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mixvel_core.errors import ArtifactError
from mixvel_core.files import replacing


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
