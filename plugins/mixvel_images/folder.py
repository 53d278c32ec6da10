"""image-folder: image files in a folder or zip file, in the order of their names, labelled by their folders."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from attrs import field, frozen
from PIL import Image

from mixvel_core.artifacts.files import digest_of
from mixvel_core.errors import DataError
from mixvel_images.collection import Collection
from mixvel_images.hooks import Labels

SUFFIXES = frozenset(
    [".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pnm"]
)
_LARGEST = 1 << 28
"""Bytes that one file of a zip file may unpack to: no image is that large, a bomb is."""
_RATIO = 1000
"""How many times its packed size a large file may unpack to; the deflate method cannot do more than 1032."""
_SMALL = 1 << 24
"""Bytes below which the ratio does not matter: one coloured area packs well."""


@frozen(kw_only=True, eq=False)
class Files:
    """The files in a folder, or in the zip file ``archive``; ``root`` is its path.

    ``facts``: the paths of all files relative to the root, sorted, with sizes and times of change, or CRCs in a zip
    file: another content has others.
    """

    root: Path
    facts: Mapping[str, Sequence[int]]
    archive: zipfile.ZipFile | None = None

    def digest(self) -> str:
        """A digest of the facts of all files."""
        return digest_of(list(self.facts.items()))

    def read(self, path: str) -> bytes:
        """The bytes of a file. Raises OSError or zipfile.BadZipFile where it is damaged."""
        # zipfile reads no more than the declared size, and checks the CRC.
        return (self.root / path).read_bytes() if self.archive is None else self.archive.read(path)


def open_files(path: Path, get: str) -> Files:
    """The files in a folder or zip file; ``get``: how to get the data, for the message where there are none.

    Raises DataError where nothing is there, or a zip file that is damaged, locked or a bomb.
    """
    if path.is_dir():
        found = {name: (stat.st_size, stat.st_mtime_ns) for name, stat in _walk(path)}
        return Files(root=path, facts=dict(sorted(found.items())))
    if path.is_file():
        return _open_zip(path)
    raise DataError(f"{path}: does not exist; {get}")


def _walk(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Files below a folder. Links to folders are followed, as classes are often linked together, but not in circles."""
    seen: set[tuple[int, int]] = set()
    for folder, inner, names in os.walk(root, followlinks=True):
        stat = os.stat(folder)
        if (stat.st_dev, stat.st_ino) in seen:
            inner.clear()
            continue
        seen.add((stat.st_dev, stat.st_ino))
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in names:
            path = Path(folder, name)
            if not name.startswith(".") and path.is_file():
                yield path.relative_to(root).as_posix(), path.stat()


def _open_zip(path: Path) -> Files:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise DataError(f"{path}: neither a folder nor a zip file that can be read ({error})") from None
    found = {}
    for info in archive.infolist():
        parts = PurePosixPath(info.filename).parts
        if info.is_dir() or not parts or parts[0] == "__MACOSX" or parts[-1].startswith("."):
            continue
        if info.flag_bits & 1:
            raise DataError(f"{path}: {info.filename} is locked with a password; unlock it first")
        huge = info.file_size > _SMALL and info.file_size > _RATIO * max(info.compress_size, 1)
        if info.file_size > _LARGEST or huge:
            raise DataError(
                f"{path}: {info.filename} would unpack from {info.compress_size} to {info.file_size} bytes, "
                "as no image does; take it out of the zip file"
            )
        found[info.filename] = (info.file_size, info.CRC)
    return Files(root=path, facts=dict(sorted(found.items())), archive=archive)


@frozen(kw_only=True, eq=False)
class ImageFiles:
    """The images among some files."""

    files: Files
    paths: tuple[str, ...]
    names: tuple[str, ...] = field(init=False)

    @names.default
    def _names(self) -> tuple[str, ...]:
        return tuple(f"{self.files.root}/{path}" for path in self.paths)

    def open(self, i: int) -> Image.Image:
        """Image i, decoded when its pixels are read."""
        return Image.open(io.BytesIO(self.files.read(self.paths[i])))


def images_of(files: Files, wanted: Callable[[PurePosixPath], bool] = lambda path: True) -> tuple[str, ...]:
    """The paths of the images. Raises DataError where there are none."""
    pure = map(PurePosixPath, files.facts)
    found = tuple(str(path) for path in pure if path.suffix.lower() in SUFFIXES and wanted(path))
    if not found:
        raise DataError(f"{files.root}: holds no image; expected files that end in {' '.join(SUFFIXES)}")
    return found


GET = "put the images there, or change `path`"


@frozen(kw_only=True)
class FolderCollector:
    """``path``: a folder or zip file. ``labels``: whether the first folder below it is the class."""

    path: Path
    labels: Labels = "auto"
    name: str = "image-folder"

    def identity(self) -> Mapping[str, object]:
        """Names and sizes, with times of change in a folder and checksums in a zip file."""
        return {"files": open_files(self.path, GET).digest(), "labels": self.labels}

    def collect(self) -> Collection:
        """The images, and labels by the order of the names of the folders.

        Raises DataError where there are no images, or an image lies in no folder where ``labels`` is "folders".
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
        provenance = {"source": f"images in {self.path}"}
        if others := len(files.facts) - len(paths):
            provenance["other files"] = f"{others}, left alone"
        pictures = ImageFiles(files=files, paths=paths)
        if self.labels == "none" or homeless:
            return Collection(pictures=pictures, provenance=provenance)
        classes = {name: label for label, name in enumerate(sorted({parts[0] for parts in top}))}
        labels = np.array([classes[parts[0]] for parts in top], dtype=np.int64)
        return Collection(pictures=pictures, labels=labels, label_names=tuple(classes), provenance=provenance)


def _without_common_folder(paths: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The parts of each path below the folder that holds everything: a zip file often starts with one."""
    parts = [PurePosixPath(path).parts for path in paths]
    while all(len(p) > 2 and p[0] == parts[0][0] for p in parts):
        parts = [p[1:] for p in parts]
    return parts
