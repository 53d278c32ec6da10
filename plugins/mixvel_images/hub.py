"""hf: a Hugging Face data set of images, by name or from a folder, through the `datasets` package."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from attrs import field, frozen
from PIL import Image

from mixvel_core.data.labels import as_labels, named
from mixvel_core.errors import DataError
from mixvel_core.machine import from_home
from mixvel_images.collection import Collection

if TYPE_CHECKING:
    from datasets import Dataset


@frozen(kw_only=True, eq=False)
class _Rows:
    """The images of a column as stored bytes, so that a broken one can be named."""

    rows: Dataset
    column: str
    names: tuple[str, ...] = field(repr=False)

    def open(self, i: int) -> Image.Image:
        """Image i, decoded from its bytes."""
        value = self.rows[i][self.column]
        if isinstance(value, bytes):
            return Image.open(io.BytesIO(value))
        if value is None:
            raise ValueError("it is empty")
        return Image.open(io.BytesIO(value["bytes"]) if value["bytes"] is not None else value["path"])


@frozen(kw_only=True)
class HubCollector:
    """``place``: a name on the hub, or a folder. ``image``, ``label``, ``attributes``: columns. ``label_names``: of
    labels 0, 1, ..., in place of those the data set has.

    ``perhaps``: columns that are attributes too where they are there.
    """

    place: str
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    image: str = "image"
    label: str | None = None
    label_names: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    perhaps: tuple[str, ...] = ()
    name: str = "hf"

    def identity(self) -> Mapping[str, object]:
        """The options, and the fingerprint by which `datasets` distinguishes its tables."""
        rows = self._rows()
        return {
            "place": self.place,
            "config": self.config,
            "split": self.split,
            "columns": [self.image, self.label, *self._attribute_columns(rows)],
            **({"label_names": self.label_names} if self.label_names else {}),
            # The only name that `datasets` has for the content of a table; there is no public one.
            "fingerprint": rows._fingerprint,
            "count": len(rows),
        }

    def collect(self) -> Collection:
        """The images, labels and attributes of the columns.

        Raises DataError where `datasets`, the data set or a column is absent, or a column holds something else.
        """
        from datasets import ClassLabel
        from datasets import Image as ImageFeature

        rows = self._rows()
        feature = rows.features.get(self.image)
        if isinstance(feature, ImageFeature):
            rows = rows.cast_column(self.image, ImageFeature(decode=False))
        elif getattr(feature, "dtype", "") not in ("binary", "large_binary"):
            raise self._wrong(rows, self.image, "images")
        names = tuple(f"{self.place}, {self.split}, row {i}" for i in range(len(rows)))
        kind = rows.features.get(self.label) if self.label is not None else None
        labels: np.ndarray | None = None
        texts: tuple[str, ...] = ()
        if self.label is not None:
            labels, texts = as_labels(self._column(rows, self.label), len(rows), f"{self.place}: column {self.label!r}")
        known = tuple(kind.names) if isinstance(kind, ClassLabel) else texts
        return Collection(
            pictures=_Rows(rows=rows.select_columns([self.image]), column=self.image, names=names),
            labels=labels,
            label_names=named(labels, self.label_names, self.place) or known,
            attributes={name: self._flags(rows, name) for name in self._attribute_columns(rows)},
            provenance={
                "source": f"Hugging Face data set {self.place}" + (f", {self.config}" if self.config else ""),
                "split": self.split,
                **({"revision": self.revision} if self.revision else {}),
            },
        )

    def _rows(self) -> Dataset:
        try:
            import datasets
        except ImportError as error:
            text = f"needs the package `datasets`, which cannot be imported ({error}); pip install 'mixvel[datasets]'"
            raise DataError(f"{self.place}: {text}") from None
        folder = from_home(self.place)
        saved = any((folder / name).is_file() for name in ("dataset_info.json", "dataset_dict.json", "state.json"))
        try:
            if saved:
                found = datasets.load_from_disk(str(folder))
                rows = found[self.split] if isinstance(found, datasets.DatasetDict) else found
            else:
                place = str(folder) if folder.is_dir() else self.place
                rows = datasets.load_dataset(place, self.config, split=self.split, revision=self.revision)
        except Exception as error:  # the hub, the network, the cache and the builders each have errors of their own
            raise DataError(self._absent(error, folder)) from None
        if len(rows) == 0:
            raise DataError(f"{self.place}, {self.split}: is empty; choose another `split`")
        return rows

    def _absent(self, error: Exception, folder: Path) -> str:
        reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        arguments = [repr(self.place), *([repr(self.config)] if self.config else []), f"split={self.split!r}"]
        arguments += [f"revision={self.revision!r}"] if self.revision else []
        remedy = (
            "change the name, `config` or `split`"
            if folder.exists()
            else "where there is a network, get it with "
            f'`python -c "from datasets import load_dataset; load_dataset({", ".join(arguments)})"`'
        )
        return f"{self.place}, {self.split}: cannot be loaded ({type(error).__name__}: {reason}); {remedy}"

    def _attribute_columns(self, rows: Dataset) -> tuple[str, ...]:
        return self.attributes + tuple(name for name in self.perhaps if name in rows.features)

    def _flags(self, rows: Dataset, name: str) -> np.ndarray:
        values = self._column(rows, name)
        if values.ndim != 1 or values.dtype.kind not in "biu" or not set(np.unique(values).tolist()) <= {-1, 0, 1}:
            raise self._wrong(rows, name, "true and false, 0 and 1, or -1 and 1")
        flags: np.ndarray = values > 0
        return flags

    def _column(self, rows: Dataset, name: str) -> np.ndarray:
        if name not in rows.features:
            raise self._wrong(rows, name, "")
        return np.asarray(rows.select_columns([name])[:][name])

    def _wrong(self, rows: Dataset, name: str, wanted: str) -> DataError:
        if name in rows.features:
            return DataError(f"{self.place}: column {name!r} holds {rows.features[name]}; expected {wanted}")
        return DataError(f"{self.place}: has no column {name!r}; it has {', '.join(rows.features)}")
