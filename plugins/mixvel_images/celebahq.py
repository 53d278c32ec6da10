"""celebahq: images of faces in a folder or zip file, and the attributes that CelebA or CelebAMask-HQ gives them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
from attrs import frozen

from mixvel_core.errors import DataError
from mixvel_images.attribute_file import AttributeTable, parse_attributes, parse_mapping
from mixvel_images.collection import Collection
from mixvel_images.folder import facts_of
from mixvel_images.listing import Files, ImageFiles, images_of, open_files

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
        """Names and sizes, with times of change or checksums; the table and mapping whole, for they are small."""
        files = open_files(self.path, GET)
        where, text = self._table(files)
        return {
            "files": facts_of(files),
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
            provenance={"source": f"CelebA-HQ, {self.path}", "attributes": where},
        )

    def _attributes(self, table: AttributeTable, paths: tuple[str, ...]) -> dict[str, np.ndarray]:
        stems = [PurePosixPath(path).stem for path in paths]
        if self.mapping is None:
            return table.of(stems)
        mapping = parse_mapping(_text(self.mapping), str(self.mapping))
        plain = [str(int(stem)) if stem.isascii() and stem.isdecimal() else stem for stem in stems]
        missing = [stem for stem in plain if stem not in mapping]
        if missing:
            raise DataError(f"{self.mapping}: has no line for {len(missing)} images, the first is {missing[0]}")
        return table.of([mapping[stem] for stem in plain])

    def _table(self, files: Files) -> tuple[str, str]:
        """Where the attribute file is, and its text."""
        if self.attributes is not None:
            return str(self.attributes), _text(self.attributes)
        for path in files.facts:
            if PurePosixPath(path).name in TABLES:
                return f"{files.root}/{path}", files.read(path).decode("utf-8", "replace")
        for name in TABLES:
            if (self.path.parent / name).is_file():
                return str(self.path.parent / name), _text(self.path.parent / name)
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
