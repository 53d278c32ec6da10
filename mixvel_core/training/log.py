"""What a training records: losses.csv with increasing steps, and images a second.

What was recorded goes into every checkpoint, and a training that goes on writes the file anew from there: a file that
was damaged, or that lost its last rows with the power, is whole again.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field

from mixvel_core.artifacts.files import read_json, write_json, write_text, writing
from mixvel_core.errors import ArtifactError

if TYPE_CHECKING:
    import torch

    from mixvel_core.training.world import World

FILE = "losses.csv"


def read_losses(path: Path) -> dict[str, list[float]]:
    """The columns of a ``losses.csv``: ``step``, ``loss`` and the other recorded losses; {} where there is none."""
    if not path.is_file():
        return {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        # A process that was killed while writing leaves a last line without its end.
        header, *rows = list(csv.reader(line for line in lines if line.endswith("\n"))) or [[]]
        read = [[int(row[0]), *(float(cell) for cell in row[1:])] for row in rows]
    except (ValueError, IndexError, csv.Error) as error:
        raise ArtifactError(f"{path}: damaged ({error}); remove it and run the recipe again") from None
    if any(len(row) != len(header) for row in read):
        raise ArtifactError(f"{path}: damaged (rows of different lengths); remove it and run the recipe again")
    return {name: [row[i] for row in read] for i, name in enumerate(header)}


@define
class Losses:
    """What was recorded: ``rows`` of the step and a number for each of ``names``, "loss" first."""

    names: tuple[str, ...] = ()
    rows: list[tuple[float, ...]] = field(factory=list)

    @classmethod
    def of(cls, columns: Mapping[str, Sequence[float]]) -> Losses:
        """From what ``columns`` gave."""
        names = _ordered(name for name in columns if name != "step")
        if not names:
            return cls()
        steps = [int(step) for step in columns["step"]]
        return cls(names, list(zip(steps, *(columns[name] for name in names), strict=True)))

    def columns(self) -> dict[str, list[float]]:
        """Numbers by name, ``step`` among them; {} where nothing was recorded."""
        return {name: [row[i] for row in self.rows] for i, name in enumerate(self._header())}

    def add(self, step: int, losses: Mapping[str, float]) -> None:
        """Adds the row of a step."""
        self.names = self.names or _ordered(losses)
        self.rows.append((step, *(losses[name] for name in self.names)))

    def text(self) -> str:
        """The rows as ``losses.csv`` has them, its header first."""
        return "".join([_line(header), *map(_line, self.rows)] if (header := self._header()) else [])

    def last(self) -> str:
        """The lines that the last row adds to the file: with the header above it, if it is the only one."""
        return self.text() if len(self.rows) == 1 else _line(self.rows[-1])

    def _header(self) -> tuple[str, ...]:
        return ("step", *self.names) if self.names else ()


class LossLog:
    """Keeps the file at ``path`` up with ``losses``; it is written anew first."""

    def __init__(self, path: Path, losses: Losses) -> None:
        self._path = path
        self._losses = losses
        write_text(path, losses.text())

    def append(self) -> None:
        """The last row, on disk when this returns (as far as the operating system is concerned)."""
        with writing(self._path), self._path.open("a", encoding="utf-8", newline="") as file:
            file.write(self._losses.last())


def _ordered(names: Iterable[str]) -> tuple[str, ...]:
    """An order that does not depend on that of the objective's mapping."""
    return tuple(sorted(names, key=lambda name: (name != "loss", name)))


def _line(cells: Sequence[str | float]) -> str:
    # repr of a float is the shortest text that reads back to the same number.
    return ",".join(str(c) for c in cells) + "\n"


SPEED_FILE = "speed.json"
WARM_UP = 2
"""Steps that are not timed: the first ones allocate, choose kernels and compile."""


@define(kw_only=True)
class SpeedMeter:
    """Times the steps of one process between the moments at which its results are waited for."""

    batch: int
    clock: Callable[[], float] = time.perf_counter
    _steps: int = field(init=False, default=0)
    _began: float | None = field(init=False, default=None)
    _from: tuple[int, float] | None = field(init=False, default=None)
    _to: tuple[int, float] | None = field(init=False, default=None)

    def stepped(self) -> None:
        """A step was taken; on a GPU, it may still be computing."""
        self._steps += 1

    def begin(self) -> None:
        """The training, or the rest of it, begins."""
        self._began = self.clock()

    def waited(self) -> None:
        """All steps so far are computed."""
        if self._steps < WARM_UP:
            return
        if self._from is None:
            self._from = self._steps, self.clock()
        else:
            self._to = self._steps, self.clock()

    @property
    def images_per_second(self) -> float | None:
        """Over all workers together; None before anything was timed."""
        if self._from is None or self._to is None or self._to[1] <= self._from[1]:
            return None
        return self.batch * (self._to[0] - self._from[0]) / (self._to[1] - self._from[1])

    @property
    def note(self) -> str:
        """As in "1530 images/s"; nothing where nothing has been timed."""
        rate = self.images_per_second
        return f"{rate:.3g} images/s" if rate and rate < 100 else f"{rate:.0f} images/s" if rate else ""

    def write(self, folder: Path, device: torch.device, world: World, before: float = 0.0) -> None:
        """Leaves in ``folder`` how long the training took so far, and the rate, if it was timed, with its device.

        Args:
            before: seconds that earlier processes trained it for.
        """
        # Reports read losses.csv with this module, and need no torch.
        from torch.cuda import get_device_name

        name = get_device_name(device) if device.type == "cuda" else device.type
        rate = self.images_per_second
        timed = {} if rate is None else {"images_per_second": round(rate, 3)}
        seconds = before + (0.0 if self._began is None else self.clock() - self._began)
        found = {**timed, "seconds": round(seconds, 3), "workers": world.size, "device": name}
        write_json(folder / SPEED_FILE, found)


def seconds_before(folder: Path) -> float:
    """How long earlier processes have trained what is in ``folder``, as far as they left it there."""
    with suppress(ArtifactError, KeyError, TypeError, ValueError):
        return float(read_json(folder / SPEED_FILE)["seconds"])
    return 0.0
