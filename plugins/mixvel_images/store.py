"""Store: prepared images on disk. A folder of memory-mapped uint8 items, labels and attributes, and what they are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen

from mixvel_core.artifacts.files import read_json, write_json
from mixvel_core.errors import ArtifactError, DataError
from mixvel_core.protocols import Data

RECORD = "store.json"
"""Written last: a folder without it is no store."""


@frozen(kw_only=True)
class ImageStore:
    """``items.npy`` (n, 3, H, W), perhaps ``labels.npy`` (n,) and ``attributes.npy`` (A, n), and the record."""

    folder: Path

    @property
    def is_there(self) -> bool:
        """Whether it was finished."""
        return (self.folder / RECORD).is_file()

    def record(self) -> dict[str, Any]:
        """What is known of it. Raises DataError where it is damaged."""
        try:
            found: dict[str, Any] = read_json(self.folder / RECORD)
        except ArtifactError as error:
            raise self._damaged(str(error)) from None
        return found

    def data(self) -> Data:
        """The data set; items stay on disk until they are read.

        Raises DataError where files are missing or not as long as they were written.
        """
        record = self.record()
        for name, size in record["files"].items():
            path = self.folder / name
            if not path.is_file() or path.stat().st_size != size:
                raise self._damaged(f"{name} is missing or cut short")
        attributes = {}
        if record["attributes"]:
            values = self._read("attributes.npy")
            attributes = {name: values[i] for i, name in enumerate(record["attributes"])}
        labels = self._read("labels.npy") if "labels.npy" in record["files"] else None
        return Data(
            items=self._read("items.npy"),
            labels=labels,
            attributes=attributes,
            label_names=tuple(record["label_names"]),
            provenance={**record["provenance"], "store": self.folder.name},
        )

    def _read(self, name: str) -> np.ndarray:
        try:
            # Copy-on-write rather than read-only: torch warns about arrays it could not write to.
            return np.lib.format.open_memmap(self.folder / name, mode="c")
        except (ValueError, OSError, EOFError) as error:
            raise self._damaged(f"{name}: {' '.join(str(error).split())}") from None

    def _damaged(self, reason: str) -> DataError:
        return DataError(f"{self.folder}: a damaged store ({reason}); remove it, and it is prepared again")


def write_record(folder: Path, files: list[str], **facts: Any) -> None:
    """The record of a store whose files lie in ``folder``."""
    sizes = {name: (folder / name).stat().st_size for name in files}
    write_json(folder / RECORD, {"files": sizes, **facts})


def home_of(store: str | None) -> Path:
    """The folder of stores: as the recipe says, else MIXVEL_DATA, else the user's cache folder."""
    if store is not None:
        return Path(store).expanduser()
    if said := os.environ.get("MIXVEL_DATA"):
        return Path(said).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mixvel"
