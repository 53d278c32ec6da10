"""CIFAR's pickled batches, read without unpickling objects.

A batch names three things of NumPy: the function that rebuilds an array, the array type and the dtype type. Here they
are stand-ins that keep what they are given, so that a file can call nothing else, and nothing of NumPy either; the
array is made afterwards from bytes whose type and number were checked.
"""

from __future__ import annotations

import io
import math
import pickle
from typing import Any

import numpy as np


class _Dtype:
    """Stands in for numpy.dtype: what it was called with."""

    __slots__ = ("code",)

    def __init__(self, code: object) -> None:
        self.code = code

    def __setstate__(self, state: object) -> None:
        """Byte order and fields: of no meaning for single bytes, which is all that is accepted."""


class _Array:
    """Stands in for an array: its state."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Name:
    """Stands in for numpy.ndarray, which is only named."""

    __slots__ = ()


class _MakeArray(_Name):
    """Stands in for numpy's _reconstruct."""

    __slots__ = ()

    def __call__(self, kind: object, shape: object, code: object) -> _Array:
        return _Array()


class _MakeDtype(_Name):
    """Stands in for calls of numpy.dtype."""

    __slots__ = ()

    def __call__(self, code: object, align: object = False, copy: object = False) -> _Dtype:
        return _Dtype(code)


_KNOWN: dict[tuple[str, str], type[_Name]] = {
    ("numpy.core.multiarray", "_reconstruct"): _MakeArray,
    ("numpy._core.multiarray", "_reconstruct"): _MakeArray,
    ("numpy", "ndarray"): _Name,
    ("numpy", "dtype"): _MakeDtype,
}


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        made = _KNOWN.get((module, name))
        if made is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no batch of CIFAR does")
        # A new one each time: nothing that a file does to it outlives the reading.
        return made()


def read_batch(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The pixels (n, 3072) uint8 and labels (n,) int64 of a pickled batch, of Python 2 or 3.

    Raises ValueError with the reason where it is none.
    """
    try:
        batch = _Restricted(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # damaged pickles raise nearly anything
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None
    if not isinstance(batch, dict):
        raise ValueError("it holds no dictionary")
    pixels = _pixels(_entry(batch, "data"))
    labels = _entry(batch, "labels")
    if not isinstance(labels, list) or not all(type(label) is int and 0 <= label <= 9 for label in labels):
        raise ValueError("its labels are no list of numbers 0 to 9")
    if len(labels) != len(pixels):
        raise ValueError(f"it holds {len(pixels)} images and {len(labels)} labels")
    return pixels, np.array(labels, dtype=np.int64)


def _entry(batch: dict[object, object], name: str) -> object:
    for key in (name.encode(), name):
        if key in batch:
            return batch[key]
    raise ValueError(f"it has no {name!r}")


def _pixels(value: object) -> np.ndarray:
    state = value.state if isinstance(value, _Array) else None
    match state:
        case (int(), (int() as count, 3072), _Dtype(code=b"u1" | "u1"), bool() | int() as fortran, bytes() as raw):
            if count <= 0 or len(raw) != math.prod((count, 3072)):
                raise ValueError(f"its array of {count} images has {len(raw)} bytes")
            return np.frombuffer(raw, np.uint8).reshape((count, 3072), order="F" if fortran else "C")
        case _:
            raise ValueError("its data are no array of bytes (n, 3072)")
