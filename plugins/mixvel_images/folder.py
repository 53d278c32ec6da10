"""image-folder: image files in a folder or zip file, in the order of their names, labelled by their folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
from attrs import frozen

from mixvel_core.data.labels import numbers_of
from mixvel_core.data.listing import splits_among
from mixvel_core.errors import DataError
from mixvel_images.collection import Collection
from mixvel_images.files import Files, ImageFiles, images_of, open_files
from mixvel_images.hooks import Labels

GET = "put the images there, or change `path`"
RULES = 2
"""Counts up when the same files would get other labels."""
_MOST_NUMBER = 10_000
"""Numbered folders up to here are names of labels; beyond, there would be more names than anybody reads."""


@frozen(kw_only=True)
class FolderCollector:
    """``path``: a folder or zip file; ``within``: the folder in it that is read, all of it if None. ``labels``: whether
    the first folder below is the class."""

    path: Path
    within: str | None = None
    labels: Labels = "auto"
    name: str = "image-folder"

    def identity(self) -> Mapping[str, object]:
        """Names and sizes, with times of change in a folder and checksums in a zip file."""
        return {"files": self._files().digest(), "labels": self.labels, "rules": RULES}

    def collect(self) -> Collection:
        """The images, and labels: the numbers that folders are named by, or their places in the order of names.

        Raises DataError where there are no images, an image lies in no folder where ``labels`` is "folders", or it is
        not clear whether folders are classes where it is "auto".
        """
        files = self._files()
        paths = images_of(files)
        below = _without_common_folder(paths)
        names = sorted({parts[0] for parts in below if len(parts) > 1})
        is_labelled = self._is_labelled(paths, below, names)
        text = files.text(paths)
        if is_labelled and (bare := sorted(_first_folders(files, paths[0], below[0]) - set(names))):
            text += f"; folders without an image: {', '.join(bare)}"
        found = Collection(
            pictures=ImageFiles(files=files, paths=paths),
            provenance={"source": f"images in {files.root}", "files": text},
        )
        return _labelled(found, [parts[0] for parts in below], names) if is_labelled else found

    def _files(self) -> Files:
        files = open_files(self.path, GET)
        return files if self.within is None else files.within(self.within)

    def _is_labelled(self, paths: tuple[str, ...], below: list[tuple[str, ...]], names: list[str]) -> bool:
        """Whether folders are classes."""
        outside = [path for path, parts in zip(paths, below, strict=True) if len(parts) < 2]
        if self.labels == "none" or (self.labels == "auto" and not names):
            return False
        if outside:
            lies = "lies" if len(outside) == 1 else f"lies, as {len(outside) - 1} more,"
            beside = f" beside the folders {_listed(names)}" if names else ""
            raise DataError(
                f"{self.path}: {outside[0]} {lies} in no folder that could name its class{beside}; "
                "move it into one, or set `labels: none`"
            )
        if self.labels == "auto" and (splits := splits_among(names)):
            start = paths[0][: len(paths[0]) - len("/".join(below[0]))]
            taken = next((name for name in splits if "train" in name.lower()), splits[0])
            raise DataError(
                f"{self.path}: {' and '.join(splits)} look like parts of a data set, not classes; "
                f"add `within: {start}{taken}` to read one, `labels: folders` where they are classes, or "
                "`labels: none` to read all without labels"
            )
        return True


def _labelled(found: Collection, folders: list[str], names: list[str]) -> Collection:
    """The collection with the label of each image's folder."""
    numbers = numbers_of(names)
    labels = dict(zip(names, range(len(names)) if numbers is None else numbers, strict=True))
    texts = tuple(names)
    if numbers is not None:
        by_number = {number: name for name, number in labels.items()}
        last = max(numbers)
        texts = tuple(by_number.get(i, str(i)) for i in range(last + 1)) if last < _MOST_NUMBER else ()
    return Collection(
        pictures=found.pictures,
        labels=np.array([labels[folder] for folder in folders], dtype=np.int64),
        label_names=texts,
        provenance=found.provenance,
    )


def _without_common_folder(paths: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The parts of each path below the folder that holds everything: a zip file often starts with one."""
    parts = [PurePosixPath(path).parts for path in paths]
    # Where all images lie in one folder itself, that folder is their class.
    while max(map(len, parts)) > 2 and all(len(p) > 1 and p[0] == parts[0][0] for p in parts):
        parts = [p[1:] for p in parts]
    return parts


def _first_folders(files: Files, path: str, below: tuple[str, ...]) -> set[str]:
    """The first folders below the one that holds everything, which is that of ``path`` without its parts ``below``."""
    depth = len(PurePosixPath(path).parts) - len(below)
    start = PurePosixPath(path).parts[:depth]
    every = (PurePosixPath(folder).parts for folder in files.folders)
    return {parts[depth] for parts in every if len(parts) > depth and parts[:depth] == start}


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
