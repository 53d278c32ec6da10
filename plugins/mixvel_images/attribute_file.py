"""CelebA's attribute files: a line with the count, a line with the names, then a line of -1 and 1 for each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np
from attrs import frozen

from mixvel_core.errors import DataError


@frozen(kw_only=True, eq=False)
class AttributeTable:
    """``values``: (rows, A) bool. ``rows``: of each image, by its file's name without suffix."""

    where: str
    names: tuple[str, ...]
    rows: Mapping[str, int]
    values: np.ndarray

    def of(self, stems: Sequence[str]) -> dict[str, np.ndarray]:
        """The attributes of images by their stems.

        Where the table does not pad its numbers, as CelebAMask-HQ's, 00012 is 12; where it does, as CelebA's own,
        stems are compared as they are, because CelebA-HQ's images carry other numbers.

        Raises DataError where an image is not in the table.
        """
        plain = not any(stem.startswith("0") and len(stem) > 1 for stem in self.rows)
        keys = [str(int(s)) if plain and s.isascii() and s.isdecimal() else s for s in stems]
        missing = [stem for stem, key in zip(stems, keys, strict=True) if key not in self.rows]
        if missing:
            raise DataError(
                f"{self.where}: has no line for {len(missing)} of {len(stems)} images, the first is {missing[0]}; "
                "give the table of these images, or a `mapping` of their numbers to the table's"
            )
        chosen = self.values[[self.rows[key] for key in keys]]
        return {name: chosen[:, a] for a, name in enumerate(self.names)}


def parse_attributes(text: str, where: str) -> AttributeTable:
    """The table in an attribute file. Raises DataError with the line that is wrong."""
    lines = text.splitlines()
    if len(lines) < 3 or not lines[0].strip().isdecimal():
        raise DataError(f"{where}: no attribute file of CelebA; expected a count, a line of names, then -1 and 1")
    names = tuple(lines[1].split())
    rows: dict[str, int] = {}
    flat: list[bool] = []
    for number, line in enumerate(lines[2:], 3):
        image, *values = line.split() or [""]
        if not image:
            continue
        if len(values) != len(names) or not set(values) <= {"-1", "1"}:
            raise DataError(f"{where}:{number}  expected an image and {len(names)} values -1 or 1")
        stem = PurePosixPath(image).stem
        if stem in rows:
            raise DataError(f"{where}:{number}  {image} stands there twice")
        rows[stem] = len(rows)
        flat += [value == "1" for value in values]
    if len(rows) != int(lines[0]):
        raise DataError(f"{where}: says {int(lines[0])} images and lists {len(rows)}; is it cut short?")
    return AttributeTable(
        where=where, names=names, rows=rows, values=np.array(flat, dtype=bool).reshape(len(rows), len(names))
    )


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
