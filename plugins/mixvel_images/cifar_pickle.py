"""CIFAR's pickled batches, read without unpickling objects.

A batch names three things of NumPy: the function that rebuilds an array, the array type and the dtype type. Here they
are stand-ins that keep what they are given, so that a file can call nothing else, and nothing of NumPy either; the
array is made afterwards from bytes whose type and number were checked.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np


class _Made:
    """Stands in for an array or a type: what it was made with, and its state."""

    __slots__ = ("arguments", "state")

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Name:
    """Stands in for what a batch names of NumPy."""

    __slots__ = ()

    def __call__(self, *arguments: object) -> _Made:
        return _Made(*arguments)


_KNOWN = (
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
)


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no batch of CIFAR does")
        # A new one each time: nothing that a file does to it outlives the reading.
        return _Name()


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
    match value.state if isinstance(value, _Made) else None:
        # Of the type only its code matters: byte order and fields mean nothing for single bytes.
        case (int(), (int() as count, 3072), _Made(arguments=(b"u1" | "u1", *_)), int() as fortran, bytes() as raw):
            if count <= 0 or len(raw) != count * 3072:
                raise ValueError(f"its array of {count} images has {len(raw)} bytes")
            return np.frombuffer(raw, np.uint8).reshape((count, 3072), order="F" if fortran else "C")
        case _:
            raise ValueError("its data are no array of bytes (n, 3072)")
