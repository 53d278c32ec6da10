"""Data from NumPy files and the digits of scikit-learn, brought to the form of ``Data``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from attrs import evolve, field, frozen

from mixvel_core.artifacts.arrays import ArrayForm, array_forms, map_array, read_arrays
from mixvel_core.artifacts.files import checksum, stats_of
from mixvel_core.data.conventions import Layout, Range, axes_of
from mixvel_core.data.items import joined
from mixvel_core.data.labels import as_labels, class_counts, named, numbers_of
from mixvel_core.data.listing import splits_among
from mixvel_core.data.ranges import ranged, refuse_outside, refuse_unclear
from mixvel_core.errors import DataError
from mixvel_core.field.padded import padded_data
from mixvel_core.machine import from_home
from mixvel_core.protocols import Data, Items
from mixvel_data.hooks import DigitsOptions

NO_LABELS = "none"
"""What `labels` says where an .npz file has arrays that could be labels, and none of them is to be."""


_WITHOUT_NAMES = "store items and labels in one .npz file, or a .npy file for each class in a folder"
_FEW = 4
"""Items of which each may well have a label of its own."""


def as_items(array: np.ndarray, layout: Layout, stated: Range | None, where: str) -> Items:
    """Items (n, *data) in uint8 or float32, of an array of uint8, or of other numbers in a range.

    ``array``: vectors (n, D), grey images (n, H, W), or images (n, C, H, W) or (n, H, W, C) as ``layout`` says.
    ``stated``: the numbers that become -1 and 1. ``where``: the file, for messages. Raises DataError for another type,
    another number of axes, no values, values outside of the range, or axes whose order is not clear.
    """
    if array.ndim not in (2, 3, 4):
        raise DataError(
            f"{where}: has shape {array.shape}; expected vectors (n, D) or images (n, H, W), (n, C, H, W), (n, H, W, C)"
        )
    if array.size == 0:
        raise DataError(f"{where}: is empty (shape {array.shape}); expected at least one item")
    axes = axes_of(tuple(map(int, array.shape[1:])), layout, where)
    turned = array if axes is None else array.transpose(0, *(axis + 1 for axis in axes))
    items = ranged(turned[:, None] if array.ndim == 3 else turned, stated, where)
    refuse_outside(items)
    return items


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
        labels = bunch.target[wanted].astype(np.int64)
        data = Data(
            items=items,
            labels=labels,
            label_names=named(labels, self.label_names, "digits"),
            provenance={
                "source": "scikit-learn's digits (test set of UCI's optical recognition of handwritten digits)",
                "count": str(len(items)),
                "scale": f"ink counts 0..{LARGEST} to -1..1",
            },
        )
        return padded_data(data, self.pad, "digits")


def _in_home(path: str | Path) -> Path:
    return from_home(path)


@frozen(kw_only=True)
class NumpySource:
    """Items from .npy and .npz files, with labels where there are some.

    ``path``: where; relative to the working directory. ``items``, ``labels``: names of arrays in an .npz file; without
    ``labels``, the one array that could be them. ``range``: the numbers that become -1 and 1. ``layout``: the order of
    the axes of images. ``label_names``: of labels 0, 1, ... ``pad``: side of the square that a black border brings them
    to.
    """

    path: Path = field(converter=_in_home)
    items: str = "items"
    labels: str | None = None
    range: Range | None = None
    layout: Layout = "channels-first"
    label_names: tuple[str, ...] = ()
    pad: int | None = None

    def identity(self) -> Mapping[str, object]:
        """Names, sizes and times of change of the files."""
        if not self.path.exists():
            raise DataError(f"{self.path}: does not exist; put the data there or change `path`")
        return {"files": stats_of(self.path.glob("*.npy") if self.path.is_dir() else [self.path])}

    def load(self) -> Data:
        """Everything. An .npy file of uint8 or floats stays on disk until its items are read.

        Raises DataError, with the file and the remedy, where the path does not exist or what is there cannot be used.
        """
        data = self._load()
        refuse_unclear(data.items, self.range, str(self.path))
        names = named(data.labels, self.label_names, str(self.path)) or data.label_names
        about = dict(data.provenance)
        if data.labels is not None:
            about["classes"] = class_counts(data.labels, names)
        if self.range is not None:
            about["range"] = f"{self.range if isinstance(self.range, str) else list(self.range)} in the file"
        if len(data.items.shape) == 4 and data.items.shape[1] not in (1, 3):
            about["channels"] = f"{data.items.shape[1]}, trained alike; one of transparency is not laid over white"
        return padded_data(evolve(data, label_names=names, provenance=about), self.pad, str(self.path))

    def _load(self) -> Data:
        if self.labels not in (None, NO_LABELS) and (self.path.is_dir() or self.path.suffix == ".npy"):
            raise DataError(
                f"{self.path}: arrays have names in .npz files only, so there is no {self.labels!r}; leave out `labels`"
            )
        if self.path.is_dir():
            return self._folder()
        match self.path.suffix:
            case ".npz":
                return self._archive()
            case ".npy":
                items = as_items(map_array(self.path, _refused), self.layout, self.range, str(self.path))
                return Data(items=items, provenance=self._provenance(items), label_remedy=_WITHOUT_NAMES)
            case _ if self.path.exists():
                raise DataError(f"{self.path}: expected an .npy file, an .npz file, or a folder of .npy files")
            case _:
                raise DataError(f"{self.path}: does not exist; put the data there or change `path`")

    def _archive(self) -> Data:
        forms = array_forms(self.path, _refused)
        for option, name in (("items", self.items), ("labels", self.labels)):
            if name not in (None, NO_LABELS, *forms):
                held = ", ".join(f"{key} {form.shape}" for key, form in forms.items()) or "nothing"
                raise DataError(f"{self.path}: has no array {name!r}, it holds {held}; name one of them as `{option}`")
        chosen = self.labels if self.labels is not None else _labels_among(forms, self.items, str(self.path))
        names = [self.items] if chosen in (None, NO_LABELS) else [self.items, chosen]
        array, *rest = read_arrays(self.path, *filter(None, names), refuse=_refused)
        items = as_items(array, self.layout, self.range, f"{self.path}, array {self.items!r}")
        about = {**self._provenance(items), "hash": f"BLAKE2b {checksum(self.path)}"}
        if not rest:
            others = ", ".join(
                f"{name} {form.dtype} {form.shape}" for name, form in forms.items() if name != self.items
            )
            remedy = f"name an array of {len(items)} whole numbers as `labels` (others there: {others or 'none'})"
            return Data(items=items, provenance=about, label_remedy=remedy)
        labels, texts = as_labels(rest[0], len(items), f"{self.path}, array {chosen!r}")
        if self.labels is None and len(labels) > _FEW and len(np.unique(labels)) == len(labels):
            raise DataError(
                f"{self.path}: array {chosen!r} has another value for each item; add `labels: {chosen}` if these are "
                "their labels, or `labels: none`"
            )
        return Data(items=items, labels=labels, label_names=texts, provenance={**about, "labels": f"array {chosen!r}"})

    def _folder(self) -> Data:
        # Other programs leave hidden files, as ._cat.npy, which are no arrays.
        files = sorted(file for file in self.path.glob("*.npy") if not file.name.startswith("."))
        if not files:
            raise DataError(f"{self.path}: holds no .npy file; put one there for each class, or change `path`")
        parts = [as_items(map_array(file, _refused), self.layout, self.range, str(file)) for file in files]
        for file, part in zip(files, parts, strict=True):
            if part.shape[1:] != parts[0].shape[1:] or part.dtype != parts[0].dtype:
                raise DataError(
                    f"{file}: items are {_kind(part)}, but {_kind(parts[0])} in {files[0].name}; "
                    "make all files of the folder alike"
                )
        labels = labels_of(files)
        if splits := splits_among([file.stem for file in files]):
            raise DataError(
                f"{self.path}: files of the splits {' and '.join(splits)} are no classes; name one file as `path`"
            )
        items = joined(*parts)
        others = sorted({file.name for file in self.path.iterdir()} - {file.name for file in files})
        named = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        about = {"files": f"{len(files)} .npy files" + (f", left out: {named}" if others else "")}
        return Data(
            items=items,
            labels=np.repeat(np.array(labels, dtype=np.int64), [len(part) for part in parts]),
            label_names=() if labels == numbers_of([file.stem for file in files]) else tuple(f.stem for f in files),
            provenance={**self._provenance(items), **about},
        )

    def _provenance(self, items: Items) -> dict[str, str]:
        return {"source": f"NumPy data in {self.path}", "count": str(len(items)), "stored as": str(items.dtype)}


def labels_of(files: Sequence[Path]) -> list[int]:
    """The label of each file: the number it is named by if all of them are, else its place in this order."""
    # So that 10.npy is label 10, although it sorts before 2.npy.
    numbers = numbers_of([file.stem for file in files])
    return list(range(len(files))) if numbers is None else numbers


def _labels_among(forms: Mapping[str, ArrayForm], items: str, where: str) -> str | None:
    """The one array that could be labels of the items; None where there is none. Raises DataError for several."""
    count = forms[items].shape[:1]
    could_be = [
        name
        for name, form in forms.items()
        if name != items and form.shape in (count, (*count, 1)) and form.dtype.kind in "iubUS"
    ]
    if len(could_be) > 1:
        raise DataError(
            f"{where}: {' and '.join(could_be)} could be labels; name one of them as `labels`, or add `labels: none`"
        )
    return next(iter(could_be), None)


def _kind(items: Items) -> str:
    return f"{items.dtype} of shape {items.shape[1:]}"


def _refused(path: Path, reason: str) -> DataError:
    if not path.exists():
        return DataError(f"{path}: does not exist; put the data there or change `path`")
    return DataError(
        f"{path}: cannot be read ({reason}); expected uint8 or float arrays as numpy.save or numpy.savez write"
    )
