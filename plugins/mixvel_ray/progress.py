"""What workers report to the driver, how it arrives without making a step wait, and how it is shown.

Free of ray: the cluster makes an actor of it, on the driver's node.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Protocol, TypeAlias

from attrs import define, field, frozen

from mixvel_core.errors import MixvelError
from mixvel_core.protocols import Progress, ProgressTask


@frozen
class BarOpened:
    """The training of ``job`` begins, or begins again."""

    job: str
    total: int
    unit: str


@frozen
class Moved:
    """``job`` has done so many units."""

    job: str
    done: int
    note: str


@frozen
class Ended:
    """``job`` is through, or has stopped with a checkpoint because the driver stopped it."""

    job: str


@frozen
class TextLine:
    """A line to show."""

    text: str


@frozen
class Failed:
    """``job`` cannot go on, and a new worker could not either."""

    job: str
    error: MixvelError


Event: TypeAlias = BarOpened | Moved | Ended | TextLine | Failed


class Mailbox:
    """Keeps events in the order they came."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._stop = False

    def post(self, events: Sequence[Event]) -> bool:
        """Takes events in; returns whether the sender is to stop."""
        self._events += events
        return self._stop

    def take(self) -> list[Event]:
        """Gives out what has come since the last call."""
        events, self._events = self._events, []
        return events

    def stop(self) -> None:
        """From here on every sender is to stop."""
        self._stop = True


_SECONDS_BETWEEN_REPORTS = 0.25


class Channel(Protocol):
    """The way to the driver."""

    def send(self, events: Sequence[Event]) -> None:
        """Sends events to the driver, without waiting for it."""
        ...

    def answer(self) -> bool | None:
        """Whether the driver wants a stop, as it answered the last ``send``; None while it has not answered."""
        ...


@define(kw_only=True)
class _Bar:
    job: str
    wire: Channel
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
class WorkerReport:
    """The progress of the worker that leads ``job``; ``clock`` in seconds."""

    job: str
    wire: Channel
    clock: Callable[[], float] = time.monotonic

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator[_Bar]:
        """The bar of the job. It stays when the block ends: after a failure the next worker goes on with it."""
        self.wire.send([BarOpened(self.job, total, unit)])
        bar = _Bar(job=self.job, wire=self.wire, clock=self.clock)
        try:
            yield bar
        finally:
            self.wire.send([bar.last])

    def line(self, text: str) -> None:
        """Sends one line of text, to be shown above the bars."""
        self.wire.send([TextLine(text)])


@define(kw_only=True)
class _Open:
    bar: ProgressTask
    own: ExitStack
    done: int = 0


@define(kw_only=True)
class Board:
    """Used by one thread, the one that ``progress`` belongs to. ``bars`` closes what is left open."""

    progress: Progress
    bars: ExitStack
    _open: dict[str, _Open] = field(factory=dict, init=False)

    @property
    def under_way(self) -> bool:
        """Whether a job has begun and not ended."""
        return bool(self._open)

    def show(self, events: Iterable[Event]) -> None:
        """Shows events in their order. Raises what a Failed brings."""
        for event in events:
            match event:
                case BarOpened():
                    self._begin(event)
                case Moved(job, done, note) if job in self._open:
                    self._open[job].done = done
                    self._open[job].bar.update(done, note)
                case Ended(job):
                    self.end(job)
                case TextLine(text):
                    self.progress.line(text)
                case Failed(job, error):
                    self.end(job)
                    raise error
                case _:
                    pass  # a report that was on its way when its job ended

    def end(self, job: str) -> None:
        """Takes the job's bar away, if it has one."""
        if job in self._open:
            self._open.pop(job).own.close()

    def _begin(self, event: BarOpened) -> None:
        if event.job in self._open:
            reached = self._open[event.job].done
            self.progress.line(f"{event.job}: a worker was lost about step {reached}; goes on from its checkpoint")
            return
        own = ExitStack()
        self.bars.push(own)
        bar = own.enter_context(self.progress.task(event.job, event.total, event.unit))
        self._open[event.job] = _Open(bar=bar, own=own)
