"""cifar10: the published files, in the python or the binary version, unpacked or as they were packed."""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from attrs import frozen
from PIL import Image

from mixvel_core.errors import DataError
from mixvel_images.cifar_pickle import read_batch
from mixvel_images.collection import Collection

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
GET = (
    "get it with `mkdir -p data && curl -fL -o data/cifar-10-python.tar.gz "
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz`, "
    "or set `hub: uoft-cs/cifar10` to take it from Hugging Face"
)
PLACES = ("cifar-10-batches-py", "cifar-10-batches-bin", "cifar-10-python.tar.gz", "cifar-10-binary.tar.gz")

Split: TypeAlias = Literal["train", "test", "all"]

_BATCH = re.compile(r"(data_batch_[1-5]|test_batch)(\.bin)?")
_LARGEST = 1 << 26
"""Bytes of a batch; the published ones have 31 million."""
_RECORD = 1 + 3 * 32 * 32


@frozen(kw_only=True, eq=False)
class _Arrays:
    """Images that are decoded already, (n, 3, 32, 32)."""

    pixels: np.ndarray
    names: tuple[str, ...]

    def open(self, i: int) -> Image.Image:
        """Image i in RGB, 32 x 32 pixels."""
        return Image.fromarray(self.pixels[i].transpose(1, 2, 0))


@frozen(kw_only=True)
class CifarCollector:
    """``path``: one of PLACES, or a folder that holds one."""

    path: Path
    split: Split = "train"
    name: str = "cifar10"

    def identity(self) -> Mapping[str, object]:
        """Names, sizes and times of change of the files."""
        place = self._place()
        files = sorted(place.iterdir()) if place.is_dir() else [place]
        stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]
        return {"files": stats, "split": self.split}

    def collect(self) -> Collection:
        """The batches of the split, in the order of their numbers, the test batch last.

        Raises DataError where there are none, or one is missing, damaged or something else.
        """
        place = self._place()
        batches = dict(_packed(place) if place.is_file() else _unpacked(place))
        wanted = [f"data_batch_{i}" for i in range(1, 6)] if self.split != "test" else []
        wanted += ["test_batch"] if self.split != "train" else []
        pixels, labels, names = [], [], []
        for batch in wanted:
            if batch not in batches:
                raise DataError(f"{place}: has no {batch}; {GET}")
            name, content = batches[batch]
            these, theirs = _read(f"{place}/{name}", content)
            pixels.append(these.reshape(-1, 3, 32, 32))
            labels.append(theirs)
            names += [f"{place}/{name}, image {i}" for i in range(len(theirs))]
        return Collection(
            pictures=_Arrays(pixels=np.concatenate(pixels), names=tuple(names)),
            labels=np.concatenate(labels),
            label_names=CLASSES,
            provenance={"source": f"CIFAR-10, {place}", "split": self.split},
        )

    def _place(self) -> Path:
        for place in (self.path, *(self.path / name for name in PLACES)):
            if place.is_file() or _is_unpacked(place):
                return place
        raise DataError(f"{self.path}: holds no CIFAR-10; {GET}")


def _is_unpacked(folder: Path) -> bool:
    return folder.is_dir() and any(_BATCH.fullmatch(file.name) for file in folder.iterdir())


def _unpacked(folder: Path) -> Iterator[tuple[str, tuple[str, bytes]]]:
    """Batch, its file's name and its content."""
    for file in sorted(folder.iterdir()):
        if found := _BATCH.fullmatch(file.name):
            _check_size(f"{folder}/{file.name}", file.stat().st_size)
            yield found[1], (file.name, file.read_bytes())


def _packed(path: Path) -> Iterator[tuple[str, tuple[str, bytes]]]:
    """The same of a tar file, read in passing: nothing is extracted."""
    try:
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                found = _BATCH.fullmatch(name)
                if found and member.isfile() and (file := archive.extractfile(member)):
                    _check_size(f"{path}/{name}", member.size)
                    yield found[1], (name, file.read())
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: no tar file that can be read ({error}); {GET}") from None


def _check_size(where: str, size: int) -> None:
    if size > _LARGEST:
        raise DataError(f"{where}: {size} bytes are too many for a batch of CIFAR-10; {GET}")


def _read(where: str, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (n, 3072) and labels (n,) of one file."""
    try:
        return _read_records(content) if where.endswith(".bin") else read_batch(content)
    except ValueError as error:
        raise DataError(f"{where}: cannot be read ({error}); {GET}") from None


def _read_records(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The binary version: a byte for the label, then red, green and blue, again and again."""
    if not content or len(content) % _RECORD:
        raise ValueError(f"{len(content)} bytes are no whole number of records of {_RECORD}")
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD)
    labels = records[:, 0].astype(np.int64)
    if labels.max() > 9:
        raise ValueError(f"a label is {labels.max()}")
    return records[:, 1:], labels
