"""ProgressLines: progress where nothing can be drawn over, at most one line for each task in ten seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from attrs import define, field, frozen

from mixvel_core.cli.meter import Meter, clock_text
from mixvel_core.protocols.progress import ProgressTask

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
        """A task; however it ends, its last line says how far it came."""
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
        """One line."""
        self.write(text)
