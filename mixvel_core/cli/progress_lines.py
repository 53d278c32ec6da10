"""How far a task is and when it will be done, in lines: progress where nothing can be drawn over."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from attrs import define, field, frozen

from mixvel_core.protocols.progress import ProgressTask


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
    _start: float = field(init=False)
    _last: float = field(init=False)
    _first: tuple[float, int] | None = field(init=False, default=None)
    _timed_from: tuple[float, int] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._start = self._last = self.clock()
        self._timed_from = (self._start, 0)

    def update(self, done: int, note: str = "") -> None:
        """``done`` of the total are done. The last note that is not empty is kept."""
        self.done, self.note, self._last = done, note or self.note, self.clock()
        if self._first is None:
            self._first = (self._last, done)
        else:
            self._timed_from = self._first

    @property
    def speed(self) -> float | None:
        """Units per second, or None where nothing has been timed."""
        since, before = self._timed_from
        if self._last <= since or self.done <= before:
            return None
        return (self.done - before) / (self._last - since)

    @property
    def seconds_left(self) -> float | None:
        """The time until the total is reached at this speed."""
        return (self.total - self.done) / self.speed if self.speed else None

    @property
    def seconds(self) -> float:
        """The time since the task began."""
        return self.clock() - self._start

    def speed_text(self) -> str:
        """As in "61.2 steps/s"; nothing where nothing has been timed."""
        return f"{_short(self.speed)} {self.unit}/s" if self.speed else ""

    def left_text(self) -> str:
        """As in "1:05 left"; nothing where it is not known."""
        return f"{clock_text(self.seconds_left)} left" if self.seconds_left else ""

    def line(self, *last: str) -> str:
        """As in "expert-3  800/800 steps  61.2 steps/s  loss 0.1432", and then ``last``."""
        parts = (self.name, f"{self.done}/{self.total} {self.unit}", self.speed_text(), self.note, *last)
        return "  ".join(part for part in parts if part)


def clock_text(seconds: float) -> str:
    """As in "1:05" or "2:00:07"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _short(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


_SECONDS_BETWEEN_LINES = 10.0


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    # Read by someone who waits: a pipe would keep it until there are some thousand characters.
    sys.stdout.flush()


@define(kw_only=True)
class _Task:
    meter: Meter
    write: Callable[[str], None]
    clock: Callable[[], float]
    next_line: float = field()

    def update(self, done: int, note: str = "") -> None:
        self.meter.update(done, note)
        if self.clock() >= self.next_line and done < self.meter.total:
            self.write(self.meter.line(self.meter.left_text()))
            self.next_line = self.clock() + _SECONDS_BETWEEN_LINES


@frozen(kw_only=True)
class ProgressLines:
    """Lines to ``write``; ``clock`` in seconds."""

    write: Callable[[str], None] = _print
    clock: Callable[[], float] = time.monotonic

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator[ProgressTask]:
        """A task; however it ends, its last line shows how far it came."""
        meter = Meter(name=name, total=total, unit=unit, clock=self.clock)
        try:
            yield _Task(
                meter=meter,
                write=self.write,
                clock=self.clock,
                next_line=self.clock() + _SECONDS_BETWEEN_LINES,
            )
        finally:
            self.write(meter.line(f"in {clock_text(meter.seconds)}"))

    def line(self, text: str) -> None:
        """Writes ``text`` as one line of its own."""
        self.write(text)
