"""losses.csv: a row for each recorded step, the steps increasing, whatever interruptions there were."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from mixvel_core.errors import ArtifactError
from mixvel_core.files import write_text


def read_losses(path: Path) -> dict[str, list[float]]:
    """The columns of a ``losses.csv``: ``step``, ``loss`` and the other recorded losses; {} where there is none."""
    header, rows = _read(path)
    return {name: [row[i] for row in rows] for i, name in enumerate(header)}


class LossLog:
    """Appends to ``path``; rows after step ``start``, which will be done again, are dropped first."""

    def __init__(self, path: Path, start: int) -> None:
        self._path = path
        header, rows = _read(path)
        self._empty = not header
        kept = [_line(row) for row in rows if row[0] <= start]
        write_text(path, "".join([_line(header), *kept] if header else []))

    def write(self, step: int, losses: Mapping[str, float]) -> None:
        """One row, on disk when this returns (as far as the operating system is concerned)."""
        with self._path.open("a", encoding="utf-8", newline="") as file:
            if self._empty:
                file.write(_line(["step", *losses]))
                self._empty = False
            file.write(_line([step, *losses.values()]))


def _line(cells: Sequence[str | float]) -> str:
    # repr of a float is the shortest text that reads back to the same number.
    return ",".join(str(c) for c in cells) + "\n"


def _read(path: Path) -> tuple[list[str], list[list[float]]]:
    if not path.is_file():
        return [], []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    # A process that was killed while writing leaves a last line without its end.
    header, *rows = list(csv.reader(line for line in lines if line.endswith("\n"))) or [[]]
    try:
        return header, [[int(row[0]), *(float(cell) for cell in row[1:])] for row in rows]
    except (ValueError, IndexError) as error:
        raise ArtifactError(f"{path}: damaged ({error}); remove it and run the recipe again") from None
