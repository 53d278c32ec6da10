"""celebahq: images of faces in a folder or zip file, and the attributes that CelebA or CelebAMask-HQ gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from attrs import frozen

from mixvel_core.errors import DataError
from mixvel_images.collection import Collection
from mixvel_images.files import Files, ImageFiles, images_of, open_files

ATTRIBUTES = (
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache",
    "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks",
    "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick",
    "Wearing_Necklace", "Wearing_Necktie", "Young",
)  # fmt: skip


@frozen(kw_only=True, eq=False)
class AttributeTable:
    """``rows``: the A values of each image, (A,) bool, by its file's name without suffix."""

    where: str
    names: tuple[str, ...]
    rows: Mapping[str, np.ndarray]

    def of(self, stems: Sequence[str]) -> dict[str, np.ndarray]:
        """The attributes of images by their stems.

        Where the table does not pad its numbers, as CelebAMask-HQ's, 00012 is 12; where it does, as CelebA's own,
        stems are compared as they are, because CelebA-HQ's images carry other numbers.

        Raises DataError where an image is not in the table.
        """
        plain = not any(stem.startswith("0") and len(stem) > 1 for stem in self.rows)
        keys = [str(int(s)) if plain and s.isascii() and s.isdecimal() else s for s in stems]
        if missing := [stem for stem, key in zip(stems, keys, strict=True) if key not in self.rows]:
            raise DataError(
                f"{self.where}: has no line for {len(missing)} of {len(stems)} images, the first is {missing[0]}; "
                "give the table of these images, or a `mapping` of their numbers to the table's"
            )
        chosen = np.array([self.rows[key] for key in keys])
        return {name: chosen[:, a] for a, name in enumerate(self.names)}


def parse_attributes(text: str, where: str) -> AttributeTable:
    """The table in an attribute file. Raises DataError with the line that is wrong."""
    lines = text.splitlines()
    if len(lines) < 3 or not lines[0].strip().isdecimal():
        raise DataError(f"{where}: no attribute file of CelebA; expected a count, a line of names, then -1 and 1")
    names = tuple(lines[1].split())
    rows: dict[str, np.ndarray] = {}
    for number, line in enumerate(lines[2:], 3):
        if not line.strip():
            continue
        image, *values = line.split()
        if len(values) != len(names) or not set(values) <= {"-1", "1"}:
            raise DataError(f"{where}:{number}  expected an image and {len(names)} values -1 or 1")
        stem = PurePosixPath(image).stem
        if stem in rows:
            raise DataError(f"{where}:{number}  {image} stands there twice")
        rows[stem] = np.array([value == "1" for value in values])
    if len(rows) != int(lines[0]):
        raise DataError(f"{where}: says {int(lines[0])} images and lists {len(rows)}; is it cut short?")
    return AttributeTable(where=where, names=names, rows=rows)


def parse_mapping(text: str, where: str) -> dict[str, str]:
    """CelebA-HQ's number to the stem of CelebA's file, of lines ``number number file`` below a header.

    Raises DataError with the line that is wrong.
    """
    found = {}
    for number, line in enumerate(text.splitlines()[1:], 2):
        match line.split():
            case [index, _, file] if index.isdecimal():
                found[str(int(index))] = PurePosixPath(file).stem
            case []:
                continue
            case _:
                raise DataError(f"{where}:{number}  expected a number, CelebA's number and CelebA's file")
    return found


TABLES = ("CelebAMask-HQ-attribute-anno.txt", "list_attr_celeba.txt")
IMAGES = "CelebA-HQ-img"
"""The folder of the photographs in CelebAMask-HQ, whose other images are masks."""
GET = (
    "get CelebAMask-HQ (30000 images and attributes, for research that is not commercial) with "
    "`pip install gdown && mkdir -p data && gdown 1badu11NqxGf6qM3PTTooQDJvQbejgbTv -O data/CelebAMask-HQ.zip`, "
    "or set `hub` to the name of a Hugging Face data set"
)


@frozen(kw_only=True)
class CelebaCollector:
    """``path``: a folder or zip file. ``attributes``: the table, looked for if None. ``mapping``: of its numbers."""

    path: Path
    attributes: Path | None = None
    mapping: Path | None = None
    name: str = "celebahq"

    def identity(self) -> Mapping[str, object]:
        """Names and sizes, with times of change or checksums; the texts of the table and of the mapping, both small."""
        files = open_files(self.path, GET)
        where, text = self._table(files)
        return {
            "files": files.digest(),
            "attributes": [where.rpartition("/")[2], text],
            "mapping": _text(self.mapping) if self.mapping else None,
        }

    def collect(self) -> Collection:
        """The images and their attributes.

        Raises DataError where either is absent, or an image has no attributes.
        """
        files = open_files(self.path, GET)
        within = any(IMAGES in PurePosixPath(path).parts for path in files.facts)
        paths = images_of(files, lambda path: not within or IMAGES in path.parts)
        where, text = self._table(files)
        return Collection(
            pictures=ImageFiles(files=files, paths=paths),
            attributes=self._attributes(parse_attributes(text, where), paths),
            provenance={"source": f"CelebA-HQ, {self.path}", "attributes": where, "files": files.text(paths)},
        )

    def _attributes(self, table: AttributeTable, paths: tuple[str, ...]) -> dict[str, np.ndarray]:
        stems = [PurePosixPath(path).stem for path in paths]
        if self.mapping is None:
            return table.of(stems)
        mapping = parse_mapping(_text(self.mapping), str(self.mapping))
        plain = [str(int(stem)) if stem.isascii() and stem.isdecimal() else stem for stem in stems]
        if missing := [stem for stem in plain if stem not in mapping]:
            raise DataError(f"{self.mapping}: has no line for {len(missing)} images, the first is {missing[0]}")
        return table.of([mapping[stem] for stem in plain])

    def _table(self, files: Files) -> tuple[str, str]:
        """Where the attribute file is, and its text."""
        if self.attributes is not None:
            return str(self.attributes), _text(self.attributes)
        for path in files.facts:
            if PurePosixPath(path).name in TABLES:
                return f"{files.root}/{path}", files.read(path).decode("utf-8", "replace")
        for beside in (self.path.parent / name for name in TABLES):
            if beside.is_file():
                return str(beside), _text(beside)
        raise DataError(
            f"{self.path}: no attributes within or beside it ({' or '.join(TABLES)}); "
            f"name the file as `attributes`, or {GET}"
        )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no text"
        raise DataError(f"{path}: cannot be read ({reason}); change `attributes` or `mapping`") from None
