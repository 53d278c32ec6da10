"""Reports: a worker's progress, sent to the driver without making a step wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from attrs import define, field, frozen

from mixvel_ray.mailbox import Event, Moved, Opened, Said

_SECONDS_BETWEEN_REPORTS = 0.25


class Wire(Protocol):
    """The way to the driver."""

    def send(self, events: Sequence[Event]) -> None:
        """Sends without waiting."""
        ...

    def answer(self) -> bool | None:
        """Whether the driver wants a stop, as it answered the last ``send``; None while it has not answered."""
        ...


@define(kw_only=True)
class _Bar:
    job: str
    wire: Wire
    clock: Callable[[], float]
    next: float = field(default=float("-inf"), init=False)
    last: Moved = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.last = Moved(self.job, 0, "")

    def update(self, done: int, note: str = "") -> None:
        self.last = Moved(self.job, done, note or self.last.note)
        answer = self.wire.answer()
        if answer:
            # To the training this is Ctrl-C: it leaves a checkpoint and ends.
            raise KeyboardInterrupt
        # While the driver has not answered, one more report would only make it later still.
        if answer is not None and self.clock() >= self.next:
            self.wire.send([self.last])
            self.next = self.clock() + _SECONDS_BETWEEN_REPORTS


@frozen(kw_only=True)
class Report:
    """The progress of the worker that leads ``job``; ``clock`` in seconds."""

    job: str
    wire: Wire
    clock: Callable[[], float] = time.monotonic

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator[_Bar]:
        """The bar of the job. It stays when the block ends: after a failure the next worker goes on with it."""
        self.wire.send([Opened(self.job, total, unit)])
        bar = _Bar(job=self.job, wire=self.wire, clock=self.clock)
        try:
            yield bar
        finally:
            self.wire.send([bar.last])

    def line(self, text: str) -> None:
        """One line."""
        self.wire.send([Said(text)])


@frozen(kw_only=True)
class _NoBar:
    def update(self, done: int, note: str = "") -> None:
        """Nothing."""


@frozen(kw_only=True)
class NoReport:
    """The progress of a worker that does not lead: one report a job is enough."""

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator[_NoBar]:
        """A bar nobody sees."""
        yield _NoBar()

    def line(self, text: str) -> None:
        """Nothing."""
