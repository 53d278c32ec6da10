"""NumPy arrays in files: written completely or not at all, read without unpickling, whoever made the file."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from attrs import frozen

from mixvel_core.artifacts.files import replacing
from mixvel_core.errors import ArtifactError, MixvelError

Refuse: TypeAlias = Callable[[Path, str], MixvelError]
"""Makes the error for a file that cannot be read, of its path and the reason; it names the remedy."""


def made_again(path: Path, reason: str) -> ArtifactError:
    """The error for a file of a run, which running the recipe again makes anew."""
    return ArtifactError(f"{path}: damaged ({reason}); remove it and run the recipe again")


def write_npy_header(file: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """What stands in an NPY file before the bytes of an array in C order."""
    about = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)


def write_array(path: Path, array: np.ndarray) -> None:
    """Writes an NPY file."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        # Not numpy.save: where the disk is full, it raises an error that has no number and no reason.
        write_npy_header(file, array.dtype, array.shape)
        file.write(np.ascontiguousarray(array).data)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an NPZ file of arrays by name."""
    # Typed as Any, because among the names of arrays numpy's own options could stand.
    named: dict[str, Any] = dict(arrays)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **named)


def map_array(path: Path, refuse: Refuse = made_again) -> np.ndarray:
    """The array of an NPY file, memory-mapped; what is written to it stays in memory.

    Raises the error of ``refuse`` where the file is missing, damaged or holds anything but numbers.
    """
    with _reading(path, refuse):
        # Copy-on-write rather than read-only: torch warns about arrays that it could not write to.
        return np.lib.format.open_memmap(path, mode="c")


def read_arrays(path: Path, *names: str, refuse: Refuse = made_again) -> tuple[np.ndarray, ...]:
    """The arrays called ``names`` of an NPZ file, read into memory.

    Raises the error of ``refuse`` where the file is missing or damaged, or an array is missing or no array of numbers.
    """
    # Opened here: NumPy leaves a file open that it cannot read.
    with _reading(path, refuse), path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
        return tuple(_member(archive, name) for name in names)


@frozen(kw_only=True)
class ArrayForm:
    """Shape and type of an array in a file."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def array_forms(path: Path, refuse: Refuse = made_again) -> dict[str, ArrayForm]:
    """Shape and type of each array of an NPZ file by name, from the arrays' own headers: their values are not read.

    Members that are no arrays are left out. Raises the error of ``refuse`` where the file is missing or damaged.
    """
    with _reading(path, refuse), zipfile.ZipFile(path) as archive:
        found = {}
        for member in archive.namelist():
            with archive.open(member) as file:
                if (form := _form(file)) is not None:
                    found[member.removesuffix(".npy")] = form
        return found


def _form(file: IO[bytes]) -> ArrayForm | None:
    """What the header of an NPY file says; None for another file."""
    try:
        version = np.lib.format.read_magic(file)
    except ValueError:
        return None
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return ArrayForm(shape=shape, dtype=dtype)


def _member(archive: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    if name not in archive.files:
        raise ValueError(f"no array {name!r}; it holds {', '.join(archive.files) or 'nothing'}")
    try:
        array = archive[name]
    except Exception as error:
        raise ValueError(f"array {name!r}: {error}") from None
    # A member of a zip file that is no NumPy array comes back as its bytes.
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{name!r} is no NumPy array")
    return array


@contextmanager
def _reading(path: Path, refuse: Refuse) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise refuse(path, "missing") from None
    # Any: a damaged archive makes zipfile, zlib, struct and NumPy raise what none of them lists.
    except Exception as error:
        raise refuse(path, " ".join(str(error).split()) or type(error).__name__) from None
