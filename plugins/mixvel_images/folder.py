"""image-folder: images in a folder or zip file, labelled by the folders they lie in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
from attrs import frozen

from mixvel_core.errors import DataError
from mixvel_images.collection import Collection
from mixvel_images.listing import Files, ImageFiles, images_of, open_files
from mixvel_images.options import Labels

GET = "put the images there, or change `path`"


@frozen(kw_only=True)
class FolderCollector:
    """``path``: a folder or zip file. ``labels``: whether the first folder below it is the class."""

    path: Path
    labels: Labels = "auto"
    name: str = "image-folder"

    def identity(self) -> Mapping[str, object]:
        """Names and sizes, with times of change in a folder and checksums in a zip file."""
        return {"files": facts_of(open_files(self.path, GET)), "labels": self.labels}

    def collect(self) -> Collection:
        """The images, and labels by the order of the names of the folders.

        Raises DataError where there are no images, or labels are asked for and an image lies in no folder.
        """
        files = open_files(self.path, GET)
        paths = images_of(files)
        top = _without_common_folder(paths)
        homeless = [path for path, parts in zip(paths, top, strict=True) if len(parts) < 2]
        if self.labels == "folders" and homeless:
            raise DataError(
                f"{self.path}: {homeless[0]} lies in no folder that could name its class; "
                "move it into one, or set `labels: none`"
            )
        others = len(files.facts) - len(paths)
        provenance = {
            "source": f"images in {self.path}",
            **({"other files": f"{others}, left alone"} if others else {}),
        }
        pictures = ImageFiles(files=files, paths=paths)
        if self.labels == "none" or homeless:
            return Collection(pictures=pictures, provenance=provenance)
        classes = sorted({parts[0] for parts in top})
        place = {name: label for label, name in enumerate(classes)}
        return Collection(
            pictures=pictures,
            labels=np.array([place[parts[0]] for parts in top], dtype=np.int64),
            label_names=tuple(classes),
            provenance=provenance,
        )


def facts_of(files: Files) -> str:
    """A digest of the facts of all files."""
    return hashlib.blake2b(json.dumps(list(files.facts.items())).encode(), digest_size=16).hexdigest()


def _without_common_folder(paths: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The parts of each path below the folder that holds everything: a zip file often starts with one."""
    parts = [PurePosixPath(path).parts for path in paths]
    while all(len(p) > 2 and p[0] == parts[0][0] for p in parts):
        parts = [p[1:] for p in parts]
    return parts
