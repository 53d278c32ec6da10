"""Data from NumPy files and the digits of scikit-learn, brought to the form of ``Data``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from attrs import field, frozen

from mixvel_core.artifacts.arrays import map_array, read_arrays
from mixvel_core.data.items import joined
from mixvel_core.errors import DataError
from mixvel_core.field.padded import padded_data
from mixvel_core.protocols import Data, Items
from mixvel_data.hooks import DigitsOptions, Layout

BLOCK = 1 << 22
"""Values that are compared together: a memory-mapped file is never read as a whole."""


def as_items(array: np.ndarray, layout: Layout, where: str) -> np.ndarray:
    """Items (n, *data) in uint8 or float32, of an array of uint8, or of floats in [-1, 1].

    ``array``: vectors (n, D), grey images (n, H, W), or images (n, C, H, W) or (n, H, W, C) as ``layout`` says.
    ``where``: the file, for messages. Raises DataError for another type, another number of axes, no values, or values
    outside of [-1, 1].
    """
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise DataError(f"{where}: holds {array.dtype} values; expected uint8, or floats in [-1, 1]")
    if array.ndim not in (2, 3, 4):
        raise DataError(
            f"{where}: has shape {array.shape}; expected vectors (n, D) or images (n, H, W), (n, C, H, W), (n, H, W, C)"
        )
    if array.size == 0:
        raise DataError(f"{where}: is empty (shape {array.shape}); expected at least one item")
    items = _channels_first(array, layout, where)
    if items.dtype == np.uint8:
        return items
    _refuse_out_of_range(items, where)
    return items.astype(np.float32, copy=False)


def as_labels(array: np.ndarray, count: int, where: str) -> np.ndarray:
    """Labels (count,), int64. Raises DataError for other shapes and for values that are not whole numbers."""
    if array.dtype.kind not in "iu":
        raise DataError(f"{where}: the labels are {array.dtype} values; expected whole numbers")
    if array.shape != (count,):
        raise DataError(f"{where}: the labels have shape {array.shape}; expected ({count},), one for each item")
    return array.astype(np.int64)


def _channels_first(array: np.ndarray, layout: Layout, where: str) -> np.ndarray:
    if array.ndim == 3:
        return array[:, None]
    if array.ndim == 4 and layout == "channels-last":
        return np.moveaxis(array, -1, 1)
    if array.ndim == 4 and array.shape[1] == array.shape[2] > 4 and array.shape[3] in (1, 3):
        # 32 channels of 32x3 pixels exist nowhere; 32x32 pixels in three colours are everywhere.
        raise DataError(f"{where}: shape {array.shape} is (n, H, W, C); say `layout: channels-last`")
    return array


def _refuse_out_of_range(items: np.ndarray, where: str) -> None:
    rows = max(1, BLOCK // items[0].size)
    for start in range(0, len(items), rows):
        # Asked this way round, NaN is out of range too.
        good = (np.abs(items[start : start + rows]) <= 1).reshape(-1, items[0].size).all(axis=1)
        if not good.all():
            i = start + int(np.argmin(good))
            low, high = float(items[i].min()), float(items[i].max())
            raise DataError(
                f"{where}: item {i} has values from {low:g} to {high:g}; scale floats to [-1, 1] or store uint8"
            )


LARGEST = 16
"""Pixels are counts 0..16: how many points of a 4x4 block of the scan were ink."""


@frozen(kw_only=True)
class Digits(DigitsOptions):
    """1797 grey images of 8x8 pixels, labelled 0 to 9; or those of ``labels`` alone, in the same order."""

    def load(self) -> Data:
        """Items (n, 1, 8, 8), or padded, float32, -1 paper and 1 ink; labels the digits."""
        # Two seconds of import: only where data are loaded, not where a recipe is checked.
        from sklearn.datasets import load_digits

        bunch = load_digits()
        wanted = np.isin(bunch.target, range(10) if self.labels is None else self.labels)
        items = (bunch.images[wanted, None] * (2.0 / LARGEST) - 1.0).astype(np.float32)
        data = Data(
            items=items,
            labels=bunch.target[wanted].astype(np.int64),
            provenance={
                "source": "scikit-learn's digits (test set of UCI's optical recognition of handwritten digits)",
                "count": str(len(items)),
                "scale": f"ink counts 0..{LARGEST} to -1..1",
            },
        )
        return padded_data(data, self.pad, "digits")


def _in_home(path: str | Path) -> Path:
    return Path(path).expanduser()


@frozen(kw_only=True)
class NumpySource:
    """Items from .npy and .npz files, with labels where there are some.

    ``path``: where; relative to the working directory. ``items``, ``labels``: names of arrays in an .npz file.
    ``layout``: the order of the axes of images. ``pad``: side of the square that a black border brings them to.
    """

    path: Path = field(converter=_in_home)
    items: str = "items"
    labels: str | None = None
    layout: Layout = "channels-first"
    pad: int | None = None

    def load(self) -> Data:
        """Everything. An .npy file of uint8 or float32 stays on disk until its items are read.

        Raises DataError, with the file and the remedy, where the path does not exist or what is there cannot be used.
        """
        return padded_data(self._load(), self.pad, str(self.path))

    def _load(self) -> Data:
        if self.labels is not None and (self.path.is_dir() or self.path.suffix == ".npy"):
            raise DataError(
                f"{self.path}: arrays have names in .npz files only, so there is no {self.labels!r}; leave out `labels`"
            )
        if self.path.is_dir():
            return self._folder()
        match self.path.suffix:
            case ".npz":
                return self._archive()
            case ".npy":
                items = as_items(map_array(self.path, _refused), self.layout, str(self.path))
                return Data(items=items, provenance=self._provenance(items))
            case _ if self.path.exists():
                raise DataError(f"{self.path}: expected an .npy file, an .npz file, or a folder of .npy files")
            case _:
                raise DataError(f"{self.path}: does not exist; put the data there or change `path`")

    def _archive(self) -> Data:
        where = f"{self.path}, array {self.items!r}"
        names = [self.items] if self.labels is None else [self.items, self.labels]
        array, *rest = read_arrays(self.path, *names, refuse=_refused)
        items = as_items(array, self.layout, where)
        labels = [as_labels(found, len(items), f"{self.path}, array {self.labels!r}") for found in rest]
        return Data(items=items, labels=labels[0] if labels else None, provenance=self._provenance(items))

    def _folder(self) -> Data:
        files = sorted(self.path.glob("*.npy"))
        if not files:
            raise DataError(f"{self.path}: holds no .npy file; put one there for each class, or change `path`")
        parts = [as_items(map_array(file, _refused), self.layout, str(file)) for file in files]
        for file, part in zip(files, parts, strict=True):
            if part.shape[1:] != parts[0].shape[1:] or part.dtype != parts[0].dtype:
                raise DataError(
                    f"{file}: items are {_kind(part)}, but {_kind(parts[0])} in {files[0].name}; "
                    "make all files of the folder alike"
                )
        labels = labels_of(files)
        items = joined(*parts)
        classes = ", ".join(f"{label} {file.name}" for label, file in sorted(zip(labels, files, strict=True)))
        return Data(
            items=items,
            labels=np.repeat(np.array(labels, dtype=np.int64), [len(part) for part in parts]),
            provenance={**self._provenance(items), "classes": classes},
        )

    def _provenance(self, items: Items) -> dict[str, str]:
        return {"source": f"NumPy data in {self.path}", "count": str(len(items)), "stored as": str(items.dtype)}


def labels_of(files: Sequence[Path]) -> list[int]:
    """The label of each file: the number it is named by if all of them are, else its place in this order."""
    stems = [file.stem for file in files]
    # So that 10.npy is label 10, although it sorts before 2.npy. Eighteen digits fit into int64.
    numbers = all(stem.isascii() and stem.isdecimal() and len(stem) <= 18 for stem in stems)
    return list(map(int, stems)) if numbers else list(range(len(stems)))


def _kind(items: np.ndarray) -> str:
    return f"{items.dtype} of shape {items.shape[1:]}"


def _refused(path: Path, reason: str) -> DataError:
    if not path.exists():
        return DataError(f"{path}: does not exist; put the data there or change `path`")
    return DataError(
        f"{path}: cannot be read ({reason}); expected uint8 or float arrays as numpy.save or numpy.savez write"
    )
