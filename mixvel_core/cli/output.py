"""Progress on the command line: bars in a terminal, a line now and then in a pipe or a log file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

from attrs import Factory, define, field, frozen

from mixvel_core.protocols.progress import Progress, ProgressTask

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Live
    from rich.progress import TaskID


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Bars in a terminal, a line now and then elsewhere, for as long as the block lasts."""
    with progress_bars() if sys.stdout.isatty() else nullcontext(ProgressLines()) as progress:
        yield progress


@define(kw_only=True)
class Meter:
    """One task's progress.

    Speed is measured from the first report to the last, because what the first one reports may have been done
    by an earlier process (a resumed training); where there is only one report, from the start.
    """

    name: str
    total: int
    unit: str
    clock: Callable[[], float] = time.monotonic
    done: int = field(init=False, default=0)
    note: str = field(init=False, default="")
    _start: float = field(init=False, default=Factory(lambda self: self.clock(), takes_self=True))
    _last: float = field(init=False, default=Factory(lambda self: self._start, takes_self=True))
    _first: tuple[float, int] | None = field(init=False, default=None)
    _timed_from: tuple[float, int] = field(init=False, default=Factory(lambda self: (self._start, 0), takes_self=True))

    def update(self, done: int, note: str = "") -> None:
        """``done`` of the total are done. The last note that is not empty is kept."""
        self.done, self.note, self._last = done, note or self.note, self.clock()
        self._timed_from = self._first or self._timed_from
        self._first = self._first or (self._last, done)

    @property
    def speed(self) -> float | None:
        """Units per second, or None where nothing has been timed."""
        since, before = self._timed_from
        if self._last <= since or self.done <= before:
            return None
        return (self.done - before) / (self._last - since)

    def speed_text(self) -> str:
        """As in "61.2 steps/s"; nothing where nothing has been timed."""
        if not self.speed:
            return ""
        return f"{self.speed:.0f} {self.unit}/s" if self.speed >= 100 else f"{self.speed:.3g} {self.unit}/s"

    def left_text(self) -> str:
        """The time until the total is reached at this speed, as in "1:05 left"; nothing where it is not known."""
        seconds = (self.total - self.done) / self.speed if self.speed else 0
        return f"{clock_text(seconds)} left" if seconds else ""

    def figures(self) -> str:
        """As in "500/800 steps  61.2 steps/s  0:05 left  loss 0.1432"."""
        figures = (f"{self.done}/{self.total} {self.unit}", self.speed_text(), self.left_text(), self.note)
        return "  ".join(filter(None, figures))

    def line(self, *last: str) -> str:
        """As in "expert-3  800/800 steps  61.2 steps/s  loss 0.1432", and then ``last``."""
        parts = (self.name, f"{self.done}/{self.total} {self.unit}", self.speed_text(), self.note, *last)
        return "  ".join(filter(None, parts))

    def last_line(self) -> str:
        """How far the task came, and the time since it began."""
        return self.line(f"in {clock_text(self.clock() - self._start)}")


def clock_text(seconds: float) -> str:
    """As in "1:05" or "2:00:07"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


_SECONDS_BETWEEN_LINES = 10.0
# Read by someone who waits: a pipe would keep lines until there are some thousand characters.
_PRINT = partial(print, flush=True)


@define(kw_only=True)
class _Task:
    meter: Meter
    write: Callable[[str], None]
    next_line: float

    def update(self, done: int, note: str = "") -> None:
        self.meter.update(done, note)
        if self.meter.clock() >= self.next_line and done < self.meter.total:
            self.write(self.meter.line(self.meter.left_text()))
            self.next_line = self.meter.clock() + _SECONDS_BETWEEN_LINES


@frozen(kw_only=True)
class ProgressLines:
    """Lines to ``write``; ``clock`` in seconds."""

    write: Callable[[str], None] = _PRINT
    clock: Callable[[], float] = time.monotonic

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator[ProgressTask]:
        """A task; however it ends, its last line shows how far it came."""
        meter = Meter(name=name, total=total, unit=unit, clock=self.clock)
        try:
            yield _Task(meter=meter, write=self.write, next_line=self.clock() + _SECONDS_BETWEEN_LINES)
        finally:
            self.write(meter.last_line())

    def line(self, text: str) -> None:
        """Writes ``text`` as one line of its own."""
        self.write(text)


@frozen(kw_only=True)
class _Bar:
    live: Live
    id: TaskID
    meter: Meter

    def update(self, done: int, note: str = "") -> None:
        self.meter.update(done, note)
        self.live.update(self.id, completed=done, figures=self.meter.figures())


@frozen(kw_only=True)
class ProgressBars:
    """Bars below whatever else is printed to the same console."""

    live: Live

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator[ProgressTask]:
        """A bar; however its task ends, the line that takes its place shows how far it came."""
        meter = Meter(name=name, total=total, unit=unit)
        id_ = self.live.add_task(name, total=total, figures=meter.figures())
        try:
            yield _Bar(live=self.live, id=id_, meter=meter)
        finally:
            self.live.remove_task(id_)
            self.line(meter.last_line())

    def line(self, text: str) -> None:
        """One line above the bars."""
        self.live.console.print(text, markup=False, emoji=False, highlight=False)


@contextmanager
def progress_bars(console: Console | None = None) -> Iterator[ProgressBars]:
    """Bars on a console (standard output), for as long as the block lasts."""
    # 80 ms of import that a pipe does not need.
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Live

    name, figures = (TextColumn(text, markup=False) for text in ("{task.description}", "{task.fields[figures]}"))
    with Live(name, BarColumn(bar_width=30), figures, console=console, transient=True) as live:
        yield ProgressBars(live=live)
