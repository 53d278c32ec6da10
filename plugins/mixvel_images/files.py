"""The files in a folder or zip file: what is there, what of it is read, and what is left out, counted by its kind."""

from __future__ import annotations

import os
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from attrs import evolve, field, frozen
from PIL import Image

from mixvel_core.artifacts.files import digest_of
from mixvel_core.data.decoding import opened_file, suffixes
from mixvel_core.data.listing import is_hidden
from mixvel_core.errors import DataError

_LARGEST = 1 << 28
"""Bytes that one file of a zip file may unpack to: no image is that large, a bomb is."""
_RATIO = 1000
"""How many times its packed size a large file may unpack to; the deflate method cannot do more than 1032."""
_SMALL = 1 << 24
"""Bytes below which the ratio does not matter: one coloured area packs well."""
_NAMED = 3
"""Names behind each number of what is left out."""

FOLDERS = "hidden or system folders"
HIDDEN = "hidden or system files"
NOWHERE = "links to nowhere"
AGAIN = "folders linked again"
TWICE = "files of a name that occurs twice"
SPECIAL = "files that are no regular ones"


@frozen(kw_only=True, eq=False)
class Files:
    """The files in a folder, or in the zip file ``archive``; ``root`` is its path, for messages that of a part of it.

    ``facts``: the paths of all files relative to the root, sorted, with sizes and times of change, or CRCs in a zip
    file: another content has others. ``members``: the entry of each path in the zip file. ``folders``: the paths of
    folders, with files or without. ``passed``: the names of what is passed over, by kind.
    """

    root: Path
    facts: Mapping[str, Sequence[int]]
    folders: frozenset[str] = frozenset()
    passed: Mapping[str, Sequence[str]] = field(factory=dict)
    archive: zipfile.ZipFile | None = None
    members: Mapping[str, zipfile.ZipInfo] = field(factory=dict)

    def digest(self) -> str:
        """A digest of the facts of all files."""
        return digest_of(list(self.facts.items()))

    def read(self, path: str) -> bytes:
        """The bytes of a file. Raises OSError or zipfile.BadZipFile where it is damaged."""
        # zipfile reads no more than the declared size, and checks the CRC.
        return (self.root / path).read_bytes() if self.archive is None else self.archive.read(self.members[path])

    def within(self, folder: str) -> Files:
        """Those below a folder. Raises DataError where there are none."""
        start = folder.strip("/") + "/"
        below = {path[len(start) :]: path for path in self.facts if path.startswith(start)}
        if not below:
            tops = sorted({path.partition("/")[0] for path in self.folders}) or ["no folder"]
            raise DataError(f"{self.root}: has no files within {folder!r}; it holds {', '.join(tops[:20])}")
        return evolve(
            self,
            root=self.root / start,
            facts={path: self.facts[whole] for path, whole in below.items()},
            folders=frozenset(path[len(start) :] for path in self.folders if path.startswith(start)),
            members={path: self.members[whole] for path, whole in below.items() if whole in self.members},
        )

    def text(self, images: Sequence[str]) -> str:
        """How many files there are, how many of them are ``images``, and what the others are."""
        others = self.facts.keys() - set(images)
        kinds = Counter(PurePosixPath(path).suffix.lower() or "without an ending" for path in others)
        parts = [f"{count} {kind}" for kind, count in kinds.most_common()]
        for kind, names in self.passed.items():
            more = ", ..." if len(names) > _NAMED else ""
            parts.append(f"{len(names)} {kind} ({', '.join(names[:_NAMED])}{more})")
        count = len(self.facts) + sum(len(self.passed.get(kind, ())) for kind in (HIDDEN, NOWHERE, TWICE, SPECIAL))
        return f"{count} files, {len(images)} images" + (f", left out: {', '.join(parts)}" if parts else "")


def open_files(path: Path, get: str) -> Files:
    """The files in a folder or zip file; ``get``: how to get the data, for the message where there are none.

    Raises DataError where nothing is there, a folder that may not be read, or a zip file that is damaged, locked or a
    bomb.
    """
    if path.is_dir():
        return _open_folder(path)
    if path.is_file():
        return _open_zip(path)
    raise DataError(f"{path}: does not exist; {get}")


def _open_folder(root: Path) -> Files:
    """Links to folders are followed, as classes are often linked together, but not in circles."""
    facts: dict[str, Sequence[int]] = {}
    folders: set[str] = set()
    passed: dict[str, list[str]] = {}
    seen: set[tuple[int, int]] = set()
    for folder, inner, names in os.walk(root, followlinks=True, onerror=_refuse_folder):
        place = Path(folder).relative_to(root)
        about = os.stat(folder)
        if (about.st_dev, about.st_ino) in seen:
            passed.setdefault(AGAIN, []).append(place.as_posix())
            inner.clear()
            continue
        seen.add((about.st_dev, about.st_ino))
        for name in (name for name in inner if is_hidden(name)):
            passed.setdefault(FOLDERS, []).append((place / name).as_posix())
        # Folders before links to them, so that what is linked twice has its own name.
        kept = (name for name in inner if not is_hidden(name))
        inner[:] = sorted(kept, key=lambda name: (Path(folder, name).is_symlink(), name))
        folders.update((place / name).as_posix() for name in inner)
        for name in sorted(names):
            path = (place / name).as_posix()
            kind, fact = _fact(Path(folder, name))
            if kind is None:
                facts[path] = fact
            else:
                passed.setdefault(kind, []).append(path)
    return Files(root=root, facts=dict(sorted(facts.items())), folders=frozenset(folders), passed=passed)


def _refuse_folder(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be read ({error.strerror}); allow it, or take the folder away") from None


def _fact(path: Path) -> tuple[str | None, tuple[int, int]]:
    """Why a file is passed over, None if it is not; size and time of change."""
    if is_hidden(path.name):
        return HIDDEN, (0, 0)
    try:
        about = path.stat()
    except PermissionError as error:
        _refuse_folder(error)
    except OSError:
        # An image that is gone is an image that cannot be read: named, and the command ends.
        is_image = path.suffix.lower() in suffixes()
        return (None if is_image else NOWHERE), (-1, path.lstat().st_mtime_ns)
    return (None if stat.S_ISREG(about.st_mode) else SPECIAL), (about.st_size, about.st_mtime_ns)


def _open_zip(path: Path) -> Files:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise DataError(
            f"{path}: neither a folder nor a zip file that can be read ({error}); unpack it, or change `path`"
        ) from None
    members: dict[str, zipfile.ZipInfo] = {}
    folders: set[str] = set()
    passed: dict[str, dict[str, None]] = {}
    for info in archive.infolist():
        parts = _parts(info.filename)
        *above, name = parts or [""]
        if not name:
            continue
        hidden = [i for i, part in enumerate(parts) if is_hidden(part)]
        if hidden:
            kind = HIDDEN if hidden[0] == len(above) and not _is_folder(info) else FOLDERS
            passed.setdefault(kind, {})["/".join(parts[: hidden[0] + 1])] = None
            continue
        if _is_folder(info):
            folders.add("/".join(parts))
            continue
        _refuse_bomb(path, info)
        whole = "/".join(parts)
        if whole in members:
            passed.setdefault(TWICE, {})[whole] = None
        members[whole] = info
        folders.update("/".join(above[: i + 1]) for i in range(len(above)))
    return Files(
        root=path,
        facts={name: (info.file_size, info.CRC) for name, info in sorted(members.items())},
        folders=frozenset(folders),
        passed={kind: tuple(names) for kind, names in passed.items()},
        archive=archive,
        members=members,
    )


def _parts(name: str) -> list[str]:
    """The folders and the name of a member: some programs write backslashes, or ./ in front. None climbs out."""
    return [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]


def _is_folder(info: zipfile.ZipInfo) -> bool:
    return info.filename.endswith(("/", "\\"))


def _refuse_bomb(path: Path, info: zipfile.ZipInfo) -> None:
    if info.flag_bits & 1:
        raise DataError(f"{path}: {info.filename} is locked with a password; unlock it first")
    huge = info.file_size > _SMALL and info.file_size > _RATIO * max(info.compress_size, 1)
    if info.file_size > _LARGEST or huge:
        raise DataError(
            f"{path}: {info.filename} would unpack from {info.compress_size} to {info.file_size} bytes, "
            "as no image does; take it out of the zip file"
        )


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
        return opened_file(self.files.read(self.paths[i]))


def images_of(files: Files, wanted: Callable[[PurePosixPath], bool] = lambda path: True) -> tuple[str, ...]:
    """The paths of the images. Raises DataError where there are none."""
    pure = map(PurePosixPath, files.facts)
    known = suffixes()
    found = tuple(str(path) for path in pure if path.suffix.lower() in known and wanted(path))
    if not found:
        raise DataError(f"{files.root}: holds no image ({files.text(())}); expected files that end as .png or .jpg do")
    return found
