"""Prepared images on disk: a folder of memory-mapped uint8 items, labels and attributes, and a record of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from attrs import frozen

from mixvel_core.artifacts.arrays import map_array
from mixvel_core.artifacts.files import checksum, digest, read_json
from mixvel_core.errors import ArtifactError, DataError
from mixvel_core.protocols import Data

FILES = ("items.npy", "labels.npy", "attributes.npy")
RECORD = "store.json"
"""Written last: a folder without it is no store."""


@frozen(kw_only=True)
class StoreRecord:
    """What is stored beside the arrays.

    ``files``: sizes in bytes. ``changed``: times of change in ns, empty in a store made before they were kept.
    ``attributes``: names of the rows of ``attributes.npy``. ``label_names``: of label 0, 1, ... ``left_out``: images
    that could not be read, each with the reason. ``provenance``: for the report; ``hash`` is that of the contents.
    """

    files: Mapping[str, int]
    changed: Mapping[str, int]
    attributes: tuple[str, ...]
    label_names: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    provenance: Mapping[str, str]


@frozen(kw_only=True)
class ImageStore:
    """``items.npy`` (n, C, H, W), perhaps ``labels.npy`` (n,) and ``attributes.npy`` (A, n), and the record."""

    folder: Path

    @property
    def is_there(self) -> bool:
        """Whether the store has been made completely."""
        return (self.folder / RECORD).is_file()

    def record(self) -> StoreRecord:
        """The record. Raises DataError where it is damaged."""
        try:
            found = read_json(self.folder / RECORD)
            return StoreRecord(
                files=dict(found["files"]),
                changed=dict(found.get("changed", {})),
                attributes=tuple(found["attributes"]),
                label_names=tuple(found["label_names"]),
                left_out=tuple((str(name), str(reason)) for name, reason in found["left_out"]),
                provenance=dict(found["provenance"]),
            )
        except (ArtifactError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._damaged(str(error)) from None

    def verify(self) -> None:
        """Raises DataError unless the files hold what was written, by their checksums: all of them are read."""
        record = self.record()
        try:
            if contents_hash(self.folder, record.files) != record.provenance["hash"]:
                raise self._damaged("its contents are not those that were written")
        except OSError as error:
            raise self._damaged(str(error)) from None

    def data(self) -> Data:
        """The data set; items stay on disk until they are read.

        Sizes and times of change are compared with the record, and where a time differs, the contents. Raises DataError
        where files are missing or not those that were written.
        """
        record = self.record()
        for name, size in record.files.items():
            path = self.folder / name
            if not path.is_file() or path.stat().st_size != size:
                raise self._damaged(f"{name} is missing or cut short")
        if times_of_change(self.folder, record.files) != record.changed:
            self.verify()
        values = self._read("attributes.npy") if record.attributes else ()
        return Data(
            items=self._read("items.npy"),
            labels=self._read("labels.npy") if "labels.npy" in record.files else None,
            attributes=dict(zip(record.attributes, values, strict=True)),
            label_names=record.label_names,
            provenance={**record.provenance, "store": self.folder.name},
        )

    def _read(self, name: str) -> np.ndarray:
        return map_array(self.folder / name, lambda path, reason: self._damaged(f"{path.name}: {reason}"))

    def _damaged(self, reason: str) -> DataError:
        return DataError(f"{self.folder}: a damaged store ({reason}); remove it, and it is prepared again")


def contents_hash(folder: Path, files: Mapping[str, int]) -> str:
    """The digest of the checksums of a store's files."""
    return digest(checksum(folder / name).encode() for name in FILES if name in files)


def times_of_change(folder: Path, files: Mapping[str, int]) -> dict[str, int]:
    """The time of change of each file, in ns."""
    return {name: (folder / name).stat().st_mtime_ns for name in files}
