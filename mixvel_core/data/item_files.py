"""Items in files that a user points to: arrays, images, and folders of them, brought to the shape of a run's items."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mixvel_core.artifacts.arrays import map_array, read_arrays
from mixvel_core.data.decoding import decoded_file, suffixes
from mixvel_core.data.listing import is_hidden
from mixvel_core.data.pictures import is_image
from mixvel_core.errors import DataError, UsageError
from mixvel_core.field.scale import to_float

ARRAYS = ("items", "x")
"""Names of arrays in .npz files, the first of which is read: those of data, and those of `mixvel sample`."""
FAR = 2.0
"""The largest value of images stored as floats."""
_ARRAY_FILES = frozenset([".npy", ".npz"])


def read_items(paths: Sequence[Path], shape: tuple[int, ...]) -> np.ndarray:
    """The items of all files, in the order given, and by name within a folder.

    Args:
        paths: images in any format that Pillow reads; .npy files and .npz files (array ``items``, or ``x``) of items
            (n, *data) or of one, uint8 or floats in [-1, 1]; folders of such files.
        shape: ``*data`` of an item. Images are read as grey or coloured as it says.

    Returns:
        (n, *data), float32 in [-1, 1].

    Raises:
        DataError: a file is absent or cannot be read.
        UsageError: a file's items have another shape, or values far outside of [-1, 1].
    """
    return np.concatenate([_read(file, shape) for path in paths for file in _files(path)])


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise DataError(f"{path}: does not exist; name image files, .npy or .npz files, or folders of them")
    if not path.is_dir():
        return [path]
    known = _ARRAY_FILES | suffixes()
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in known and not is_hidden(file.name))
    if not found:
        raise DataError(f"{path}: holds no image and no array; expected files like *.png, *.jpg, *.npy or *.npz")
    return found


def _read(file: Path, shape: tuple[int, ...]) -> np.ndarray:
    array = _array(file) if file.suffix in _ARRAY_FILES else _image(file, shape)
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise UsageError(f"{file}: holds {array.dtype} values; give uint8, or floats in [-1, 1]")
    items = _as_items(array, shape)
    if array.size == 0:
        raise UsageError(f"{file}: holds no item, its array has shape {array.shape}; give at least one")
    if items is None:
        raise UsageError(
            f"{file}: of shape {array.shape}, but items of the run have shape {shape}; give items (n, *data) or images "
            f"of that size{_if_last(array, shape)}"
        )
    found = to_float(items)
    largest = float(np.abs(found).max())
    # Samples of images go a little beyond [-1, 1]; bytes stored as floats go far.
    if not (largest <= FAR or (np.isfinite(largest) and not is_image(shape))):
        raise UsageError(f"{file}: has values up to {largest:g}; scale floats to [-1, 1] or store uint8")
    if is_image(shape) and array.dtype.kind == "f" and 0 < largest <= 1 and float(found.min()) >= 0:
        raise UsageError(
            f"{file}: all values lie in 0 to 1, none below 0; store 2 * x - 1 if 0 is black, or uint8 if they are right"
        )
    return found


def _as_items(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """(n, *data) of many items or of one, grey images with or without their axis; None for another shape."""
    grey = len(shape) == 3 and shape[0] == 1
    for form in (shape, shape[1:]) if grey else (shape,):
        if array.shape == form or array.shape[1:] == form:
            return array.reshape(-1, *shape)
    return None


def _array(file: Path) -> np.ndarray:
    if file.suffix == ".npy":
        return map_array(file, _refused)
    with_names = []
    for name in ARRAYS:
        try:
            return read_arrays(file, name, refuse=_refused)[0]
        except DataError as error:
            with_names.append(error)
    raise with_names[0]


def _image(file: Path, shape: tuple[int, ...]) -> np.ndarray:
    """(C, H, W), uint8."""
    if not is_image(shape):
        raise UsageError(f"{file}: the run's items have shape {shape} and are no images; give a .npy or .npz file")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); allow it, or name another file") from None
    return decoded_file(content, shape[0], None, f"{file}:").pixels


def _if_last(array: np.ndarray, shape: tuple[int, ...]) -> str:
    """The mend where an array has the channels of images last."""
    is_last = is_image(shape) and array.shape[-3:] == (*shape[1:], shape[0])
    return "; here the channels come last: move them to the front" if is_last else ""


def _refused(path: Path, reason: str) -> DataError:
    return DataError(f"{path}: cannot be read ({reason}); expected what numpy.save or numpy.savez write")
