"""Several jobs at once, in threads of this process.

torch lets go of the interpreter while it computes. On two cores two small networks side by side, one torch
thread each, take three quarters to two thirds of the time that they take in turn with two torch threads each,
and no process has to start and import everything again.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from attrs import define, field, frozen

from mixvel_core.protocols import Job, Progress, ProgressTask
from mixvel_local.mapping import in_threads


@define(kw_only=True)
class _Relay:
    """A job's progress. All that is to be shown is handed to the main thread, which has the real progress."""

    progress: Progress
    bars: ExitStack
    calls: queue.SimpleQueue[Callable[[], None] | Job | None]
    stop: threading.Event

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator[_RelayBar]:
        bar = _RelayBar(relay=self)
        self.calls.put(partial(bar.open, name, total, unit))
        try:
            yield bar
        finally:
            self.calls.put(bar.own.close)

    def line(self, text: str) -> None:
        self.calls.put(partial(self.progress.line, text))


@define(kw_only=True)
class _RelayBar:
    relay: _Relay
    own: ExitStack = field(factory=ExitStack, init=False)
    shown: ProgressTask = field(init=False)

    def open(self, name: str, total: int, unit: str) -> None:
        self.relay.bars.push(self.own)
        self.shown = self.own.enter_context(self.relay.progress.task(name, total, unit))

    def update(self, done: int, note: str = "") -> None:
        if self.relay.stop.is_set():
            # Threads get no signals. To the training this is Ctrl-C: it leaves a checkpoint and ends.
            raise KeyboardInterrupt
        self.relay.calls.put(lambda: self.shown.update(done, note))


@frozen(kw_only=True)
class SideBySide:
    """Runs ``train`` on jobs, ``workers`` at a time."""

    workers: int
    train: Callable[[Job, Progress], None]

    def each(self, jobs: Sequence[Job], progress: Progress) -> Generator[Job]:
        """Yields jobs as they are done. At the first error, or Ctrl-C, all stop at their step and it is raised."""
        calls: queue.SimpleQueue[Callable[[], None] | Job | None] = queue.SimpleQueue()
        stop = threading.Event()
        errors: list[BaseException] = []

        def ended(error: BaseException | None) -> None:
            if error is not None:
                errors.append(error)
                stop.set()
            calls.put(None)

        def train(job: Job) -> None:
            self.train(job, relay)
            calls.put(job)

        with ExitStack() as bars:
            relay = _Relay(progress=progress, bars=bars, calls=calls, stop=stop)
            with in_threads(
                lambda: train,
                jobs,
                count=self.workers,
                name="training",
                stop=stop,
                ended=ended,
            ):
                working = self.workers
                while working:
                    call = calls.get()
                    if call is None:
                        working -= 1
                    elif isinstance(call, Job):
                        yield call
                    else:
                        call()
        if errors:
            raise errors[0]
