"""Meter: how far a task is, how fast it goes, and when it will be done."""

from __future__ import annotations

import time
from collections.abc import Callable

from attrs import define, field


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
        """``done`` units are behind. The last note that says something is kept."""
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
