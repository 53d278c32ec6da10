"""Data from IDX files: MNIST, Fashion-MNIST, KMNIST, EMNIST, as they are published."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from attrs import field, frozen

from mixvel_core.artifacts.files import checksum, stats_of
from mixvel_core.data.conventions import Range
from mixvel_core.data.labels import named
from mixvel_core.data.ranges import ranged, refuse_outside, refuse_unclear
from mixvel_core.errors import AbsentError, DataError
from mixvel_core.field.padded import padded
from mixvel_core.machine import from_home
from mixvel_core.protocols import Data
from mixvel_data.idx_files import read_idx

Split: TypeAlias = Literal["train", "test"]

FASHION_CLASSES = (
    "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
FASHION_PLACES = (Path("data/fashion-mnist"), Path("/usr/share/datasets/fashion-mnist"))
"""Where Fashion-MNIST is looked for: below the working directory, and where Debian's package puts it."""
FASHION_GET = (
    "get it with `apt-get install dataset-fashion-mnist`, or put its four published files into data/fashion-mnist "
    "or another folder, named as `path`"
)
GET = "put the images and labels of both splits there, as they are published, or change `path`"

_NAME = re.compile(
    r"(?:(?P<prefix>.+)-)?(?P<split>train|t10k|test)-(?P<what>images|labels)[-.]idx[13]-ubyte(?:\.gz)?", re.ASCII
)


@frozen(kw_only=True)
class IdxSource:
    """Images with labels, of one split.

    ``path``: the folder. ``prefix``: what the names of the files begin with, where a folder holds several data sets.
    ``classes``: the labels whose items are taken, all if None. ``transposed``: rows and columns are exchanged, as in
    EMNIST's files. ``size``: pixels of a side after averaging over equal squares. ``pad``: pixels of a side with a
    black border. ``label_names``: of labels 0, 1, ... ``range``: the numbers that become -1 and 1. ``name``: of the
    data set, for the report. ``get``: how to get the files, for messages.
    """

    path: Path
    split: Split = "train"
    prefix: str | None = None
    classes: tuple[int, ...] | None = None
    transposed: bool = False
    size: int | None = None
    pad: int | None = None
    label_names: tuple[str, ...] = ()
    range: Range | None = None
    name: str = "IDX"
    get: str = field(default=GET, repr=False)

    def load(self) -> Data:
        """Items (n, 1, H, W) uint8, in the order of the files; labels (n,) int64.

        Raises:
            AbsentError: files are absent; names the way to get them.
            DataError: files are damaged or do not belong together, a class has no item, or a size does not fit; names
                the file and the remedy.
        """
        images_file, labels_file = self._files()
        images, labels = read_idx(images_file, 3), read_idx(labels_file, 1)
        if len(images) != len(labels):
            raise DataError(
                f"{labels_file}: holds {len(labels)} labels, and {images_file.name} {len(images)} images; "
                "take both files of one data set and split"
            )
        whole = images.shape[1:]
        labels = labels.astype(np.int64)
        if self.classes is not None:
            kept = self._kept(labels, self.classes, labels_file)
            images, labels = images[kept], labels[kept]
        if self.transposed:
            images = images.swapaxes(1, 2)
        if self.size is not None:
            images = averaged(images, self.size, str(images_file))
        stored = ranged(np.ascontiguousarray(images)[:, None], self.range, str(images_file))
        refuse_outside(stored)
        refuse_unclear(stored, self.range, str(images_file))
        items = padded(stored, self.pad, str(images_file))
        height, width = items.shape[2:]
        changes = [f"means over squares to {self.size} pixels"] if self.size not in (None, whole[0]) else []
        changes += ["black border"] if (height, width) != images.shape[1:] else []
        return Data(
            items=items,
            labels=labels,
            label_names=named(labels, self.label_names, str(labels_file)),
            provenance={
                "source": f"{self.name} data in {self.path}",
                "split": self.split,
                "count": str(len(items)),
                **({"classes": self._class_text()} if self.classes is not None or self.label_names else {}),
                "resolution": f"{height} x {width}" + (f", from {' x '.join(map(str, whole))}" if changes else ""),
                **({"scaling": ", ".join(changes)} if changes else {}),
                "images": f"{images_file.name}, BLAKE2b {checksum(images_file)}",
                "labels": f"{labels_file.name}, BLAKE2b {checksum(labels_file)}",
            },
        )

    def identity(self) -> Mapping[str, object]:
        """Names, sizes and times of change of the two files."""
        return {"files": stats_of(self._files())}

    def _files(self) -> tuple[Path, Path]:
        """The files of images and labels. Raises DataError where they are not there, or there are several."""
        if not self.path.is_dir():
            raise AbsentError(f"{self.path}: {'is no folder' if self.path.exists() else 'does not exist'}; {self.get}")
        found = list(_named(self.path))
        prefixes = sorted({prefix for prefix, _, _, _ in found})
        if self.prefix is None and len(prefixes) > 1:
            listed = ", ".join(prefix or "no prefix" for prefix in prefixes)
            raise DataError(f"{self.path}: holds several data sets ({listed}); name one as `prefix`")
        prefix = self.prefix if self.prefix is not None else next(iter(prefixes), "")
        pair = []
        for what in ("images", "labels"):
            # Not packed first: it is read faster.
            files = sorted(file for p, s, w, file in found if (p, s, w) == (prefix, self.split, what))
            if not files:
                start = f"{prefix}-" if prefix else ""
                name = f"{start}{self._word()}-{what}-idx{3 if what == 'images' else 1}-ubyte[.gz]"
                raise AbsentError(f"{self.path}: has no {name}; {self.get}")
            pair.append(files[0])
        return pair[0], pair[1]

    def _word(self) -> str:
        """How the split is called in the names of files."""
        return "train" if self.split == "train" else "t10k"

    def _kept(self, labels: np.ndarray, classes: tuple[int, ...], where: Path) -> np.ndarray:
        """Which items are of the classes. Raises DataError for a class without any."""
        present = np.unique(labels)
        absent = [label for label in classes if label not in present]
        if absent:
            held = ", ".join(map(str, present.tolist()))
            raise DataError(f"{where}: has no item of class {absent[0]} (it has {held}); change `classes`")
        return np.isin(labels, classes)

    def _class_text(self) -> str:
        chosen = self.classes if self.classes is not None else range(len(self.label_names))
        return ", ".join(
            f"{label} {self.label_names[label]}" if label < len(self.label_names) else str(label) for label in chosen
        )


def averaged(images: np.ndarray, size: int, where: str) -> np.ndarray:
    """Grey images (n, H, H) uint8 as (n, size, size): the mean over each square of H / size pixels, rounded.

    Raises DataError where images are no squares or ``size`` is no divisor of their side; names the nearest that are.
    """
    height, width = images.shape[1:]
    if height != width:
        raise DataError(f"{where}: size: images of {height} x {width} pixels are no squares; leave out `size`")
    if height % size:
        divisors = [n for n in range(1, height + 1) if height % n == 0]
        smaller = [n for n in divisors if n < size][-1:]
        larger = [n for n in divisors if n > size][:1]
        near = f"divide it are {smaller[0]} and {larger[0]}" if larger else f"divides it is {height}"
        raise DataError(f"{where}: size: {size} does not divide {height}; the nearest that {near}")
    ratio = height // size
    if ratio == 1:
        return images
    squares = images.reshape(len(images), size, ratio, size, ratio)
    means: np.ndarray = np.rint(squares.mean(axis=(2, 4), dtype=np.float32)).astype(np.uint8)
    return means


def fashion_folder(path: str | None) -> Path:
    """The folder of Fashion-MNIST: the one that is given, else the first of FASHION_PLACES that exists."""
    if path is not None:
        return from_home(path)
    return next((place for place in FASHION_PLACES if place.is_dir()), FASHION_PLACES[0])


def _named(folder: Path) -> Iterator[tuple[str, Split, str, Path]]:
    """Prefix, split, ``images`` or ``labels``, and path of every file whose name is that of an IDX file."""
    for file in sorted(folder.iterdir()):
        if (found := _NAME.fullmatch(file.name)) and file.is_file():
            yield found["prefix"] or "", "train" if found["split"] == "train" else "test", found["what"], file


def idx(
    *,
    path: str,
    prefix: str | None,
    split: Split,
    classes: tuple[int, ...] | None,
    transposed: bool,
    size: int | None,
    pad: int | None,
    label_names: tuple[str, ...],
    range: Range | None,
) -> IdxSource:
    """IDX files in a folder (see ``IdxOptions``)."""
    return IdxSource(
        path=from_home(path),
        prefix=prefix,
        split=split,
        classes=classes,
        transposed=transposed,
        size=size,
        pad=pad,
        label_names=label_names,
        range=range,
    )


def fashion_mnist(
    *, path: str | None, split: Split, classes: tuple[int, ...] | None, size: int | None, pad: int | None
) -> IdxSource:
    """Fashion-MNIST where ``path`` or Debian's package has it (see ``FashionOptions``)."""
    return IdxSource(
        path=fashion_folder(path),
        split=split,
        classes=classes,
        size=size,
        pad=pad,
        label_names=FASHION_CLASSES,
        name="Fashion-MNIST",
        get=FASHION_GET,
    )
