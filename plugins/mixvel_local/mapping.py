"""Work in parts, done in this process: by the calling thread, or by several threads side by side."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Generic, TypeAlias

import torch
from attrs import frozen

from mixvel_core.protocols import Task
from mixvel_core.protocols.launcher import PartT, ResultT


@frozen
class _Reported:
    index: int
    done: int


@frozen
class _Result(Generic[ResultT]):
    index: int
    result: ResultT


@frozen
class _Left:
    """A thread has ended, by ``error`` or because nothing was left to do."""

    error: BaseException | None


_Event: TypeAlias = _Reported | _Result[ResultT] | _Left


@frozen(kw_only=True)
class LocalMapping(Generic[PartT, ResultT]):
    """``workers`` threads, each with ``threads`` of torch, on one device; see ``Mapper``."""

    workers: int
    threads: int
    device: torch.device

    def run(
        self, task: Task[PartT, ResultT], parts: Sequence[PartT], report: Callable[[int, int], None]
    ) -> Generator[tuple[int, ResultT]]:
        """Does the parts one after the other or side by side (see ``Mapper.map``)."""
        if self.workers > 1:
            yield from self._side_by_side(task, parts, report)
        elif parts:
            torch.set_num_threads(self.threads)
            do = task.begin(self.device)
            for index, part in enumerate(parts):
                yield index, do(part, partial(report, index))

    def _side_by_side(
        self, task: Task[PartT, ResultT], parts: Sequence[PartT], report: Callable[[int, int], None]
    ) -> Generator[tuple[int, ResultT]]:
        events: queue.SimpleQueue[_Event[ResultT]] = queue.SimpleQueue()
        stop = threading.Event()

        def on_progress(index: int, done: int) -> None:
            if stop.is_set():
                # Threads get no signals; the result of this part is not wanted any more.
                raise KeyboardInterrupt
            events.put(_Reported(index, done))

        def begin() -> Callable[[tuple[int, PartT]], None]:
            # Set where it works: the number belongs to the thread.
            torch.set_num_threads(self.threads)
            do = task.begin(self.device)
            return lambda part: events.put(_Result(part[0], do(part[1], partial(on_progress, part[0]))))

        with in_threads(
            begin,
            list(enumerate(parts)),
            count=self.workers,
            name=task.name,
            stop=stop,
            ended=lambda error: events.put(_Left(error)),
        ):
            working = self.workers
            while working:
                match events.get():
                    case _Reported(index, done):
                        report(index, done)
                    case _Result(index, result):
                        yield index, result
                    case _Left(error):
                        working -= 1
                        if error is not None:
                            raise error


@contextmanager
def in_threads(
    begin: Callable[[], Callable[[PartT], None]],
    parts: Sequence[PartT],
    *,
    count: int,
    name: str,
    stop: threading.Event,
    ended: Callable[[BaseException | None], None],
) -> Iterator[None]:
    """Works on ``parts`` in ``count`` threads during the block; at its end no part is begun, and all are waited for.

    Args:
        begin: called once by each thread; gives what is called with one part after the other.
        parts: the work, taken in their order.
        count: threads.
        name: of the threads.
        stop: once set, no part is begun.
        ended: called by each thread at its end, with the error that ended it or None; its error is the caller's.
    """
    todo: queue.SimpleQueue[PartT] = queue.SimpleQueue()
    for part in parts:
        todo.put(part)

    def work() -> None:
        caught: BaseException | None = None
        try:
            do = begin()
            while not stop.is_set():
                do(todo.get_nowait())
        except queue.Empty:
            pass
        except BaseException as error:  # an interruption too
            caught = error
        ended(caught)

    threads = [threading.Thread(target=work, name=f"{name}-{i}") for i in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
