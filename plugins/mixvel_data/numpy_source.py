"""Data from NumPy files: one .npy, one .npz, or a folder of .npy files, one for each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from attrs import frozen

from mixvel_core.errors import DataError
from mixvel_core.field.gathered import joined
from mixvel_core.protocols import Data, Items
from mixvel_data.array_files import read_npy, read_npz
from mixvel_data.item_arrays import Layout, as_items, as_labels


@frozen(kw_only=True)
class NumpySource:
    """Items, and labels where the files say them.

    ``path``: where; relative to the working directory. ``items``, ``labels``: names of arrays in an .npz file.
    ``layout``: the order of the axes of images.
    """

    path: Path
    items: str = "items"
    labels: str | None = None
    layout: Layout = "channels-first"

    def load(self) -> Data:
        """Everything. An .npy file of uint8 or float32 stays on disk until its items are read.

        Raises:
            DataError: the path does not exist, or what is there cannot be used; names the file and the remedy.
        """
        if self.path.is_dir():
            self._refuse_label_name()
            return self._folder()
        match self.path.suffix:
            case ".npz":
                return self._archive()
            case ".npy":
                self._refuse_label_name()
                items = as_items(read_npy(self.path), self.layout, str(self.path))
                return Data(items=items, provenance=self._provenance(items))
            case _ if self.path.exists():
                raise DataError(f"{self.path}: expected an .npy file, an .npz file, or a folder of .npy files")
            case _:
                raise DataError(f"{self.path}: does not exist; put the data there or change `path`")

    def _archive(self) -> Data:
        where = f"{self.path}, array {self.items!r}"
        if self.labels is None:
            [array] = read_npz(self.path, self.items)
            items = as_items(array, self.layout, where)
            return Data(items=items, provenance=self._provenance(items))
        array, labels = read_npz(self.path, self.items, self.labels)
        items = as_items(array, self.layout, where)
        return Data(
            items=items,
            labels=as_labels(labels, len(items), f"{self.path}, array {self.labels!r}"),
            provenance=self._provenance(items),
        )

    def _folder(self) -> Data:
        files = sorted(self.path.glob("*.npy"))
        if not files:
            raise DataError(f"{self.path}: holds no .npy file; put one there for each class, or change `path`")
        parts = [as_items(read_npy(file), self.layout, str(file)) for file in files]
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

    def _refuse_label_name(self) -> None:
        if self.labels is not None:
            raise DataError(
                f"{self.path}: arrays have names in .npz files only, so there is no {self.labels!r}; leave out `labels`"
            )


def labels_of(files: Sequence[Path]) -> list[int]:
    """The label of each file: the number it is named by if all of them are, else its place in this order."""
    stems = [file.stem for file in files]
    # So that 10.npy is label 10, although it sorts before 2.npy. Eighteen digits fit into int64.
    if all(stem.isascii() and stem.isdecimal() and len(stem) <= 18 for stem in stems):
        return [int(stem) for stem in stems]
    return list(range(len(stems)))


def _kind(items: np.ndarray) -> str:
    return f"{items.dtype} of shape {items.shape[1:]}"
