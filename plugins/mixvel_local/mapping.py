"""Work in parts, done in this process: by the calling thread, or by several threads side by side."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Generic, TypeAlias, TypeVar

import torch
from attrs import frozen

from mixvel_core.protocols import Task

PartT = TypeVar("PartT")
ResultT = TypeVar("ResultT")


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
        """See ``Mapper.map``."""
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
        todo: queue.SimpleQueue[tuple[int, PartT]] = queue.SimpleQueue()
        for index, part in enumerate(parts):
            todo.put((index, part))
        events: queue.SimpleQueue[_Event[ResultT]] = queue.SimpleQueue()
        stop = threading.Event()
        work = partial(self._work, task, todo, events, stop)
        threads = [threading.Thread(target=work, name=f"{task.name}-{i}") for i in range(self.workers)]
        for thread in threads:
            thread.start()
        try:
            working = len(threads)
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
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _work(
        self,
        task: Task[PartT, ResultT],
        todo: queue.SimpleQueue[tuple[int, PartT]],
        events: queue.SimpleQueue[_Event[ResultT]],
        stop: threading.Event,
    ) -> None:
        def on_progress(index: int, done: int) -> None:
            if stop.is_set():
                # Threads get no signals; the result of this part is not wanted any more.
                raise KeyboardInterrupt
            events.put(_Reported(index, done))

        try:
            # Set where it works: the number belongs to the thread.
            torch.set_num_threads(self.threads)
            do = task.begin(self.device)
            while not stop.is_set():
                index, part = todo.get_nowait()
                events.put(_Result(index, do(part, partial(on_progress, index))))
        except queue.Empty:
            events.put(_Left(None))
        except BaseException as error:  # a thread's error is the caller's, an interruption too
            events.put(_Left(error))
        else:
            events.put(_Left(None))
