"""Work in parts on the cluster: an actor for each worker, given one part after the other."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Generic

import ray
import torch
from attrs import define, field, frozen
from ray.exceptions import RayError, RayTaskError

from mixvel_core.errors import MixvelError
from mixvel_core.protocols import Task
from mixvel_core.protocols.launcher import PartT, ResultT
from mixvel_ray.cluster import call, new_mailbox, nodes
from mixvel_ray.fit import ActorChannel, cause_of, first_line
from mixvel_ray.progress import Moved, WorkerReport
from mixvel_ray.work import Room, WorkerPlace

_SECONDS_BETWEEN_LOOKS = 0.2


class PartWorker:
    """A worker. Lives in an actor."""

    def __init__(self, task: Task[Any, Any], place: WorkerPlace, device: str, mailbox: Any) -> None:
        self._task = task
        self._place = place
        self._device = device
        self._wire = ActorChannel(mailbox)
        self._do: Callable[[Any, Callable[[int], None]], Any]

    def begin(self) -> None:
        """Loads. Raises DataError where this machine does not see what the task reads."""
        self._place.enter(self._task.name, self._task.folder)
        self._do = self._task.begin(torch.device(self._device))

    def do(self, index: int, part: Any) -> Any:
        """One part; its progress goes to the mailbox under the part's index."""
        report = WorkerReport(job=str(index), wire=self._wire)
        with report.task(self._task.name, 0, "units") as bar:
            result = self._do(part, bar.update)
        # All progress of a part arrives before its result.
        self._wire.wait()
        return result


@frozen(kw_only=True, eq=False)
class _Busy:
    """An actor, and the part that it does; None while it begins."""

    actor: Any
    index: int | None


@define(kw_only=True)
class RayMapping(Generic[PartT, ResultT]):
    """``at_once`` workers that each reserve what ``room`` says; see ``Mapper``.

    A worker that is lost is replaced if there is room for another, and its part done again, ``max_failures`` times.
    """

    room: Room
    at_once: int
    max_failures: int
    place: WorkerPlace
    _busy: dict[Any, _Busy] = field(factory=dict, init=False)
    _idle: list[Any] = field(factory=list, init=False)
    _losses: Counter[int | None] = field(factory=Counter, init=False)

    def run(
        self, task: Task[PartT, ResultT], parts: Sequence[PartT], report: Callable[[int, int], None]
    ) -> Generator[tuple[int, ResultT]]:
        """Does the parts on workers of the cluster (see ``Mapper.map``)."""
        mailbox = new_mailbox()
        begin = partial(self._begin, ray.put(task), mailbox)
        todo, left = deque(range(len(parts))), len(parts)
        try:
            for _ in range(self.at_once):
                begin()
            while left:
                ready, _ = ray.wait(list(self._busy), timeout=_SECONDS_BETWEEN_LOOKS)
                self._report(mailbox, report)
                for reference in ready:
                    busy = self._busy.pop(reference)
                    try:
                        result = ray.get(reference)
                    except RayTaskError as error:
                        raise self._error_of(task, error) from None
                    except RayError as error:
                        self._lost(task, busy, error)
                        if busy.index is not None:
                            todo.appendleft(busy.index)
                            report(busy.index, 0)
                        if self._idle and todo:
                            self._next(self._idle.pop(), todo, parts)
                        else:
                            self._replace(begin)
                        continue
                    # The next part first: while the result is taken in, the worker has something to do.
                    self._next(busy.actor, todo, parts)
                    if busy.index is not None:
                        left -= 1
                        yield busy.index, result
        finally:
            for actor in (mailbox, *self._idle, *(busy.actor for busy in self._busy.values())):
                _kill(actor)

    def _begin(self, task: Any, mailbox: Any) -> None:
        need = dict(self.room.need)
        actor = (
            ray.remote(PartWorker)
            .options(
                num_cpus=need.pop("CPU", 0),
                num_gpus=need.pop("GPU", 0),
                resources=need,
                max_restarts=0,
                scheduling_strategy="SPREAD",
            )
            .remote(task, self.place, "cuda" if self.room.gpus else "cpu", mailbox)
        )
        self._busy[actor.begin.remote()] = _Busy(actor=actor, index=None)

    def _next(self, actor: Any, todo: deque[int], parts: Sequence[PartT]) -> None:
        if todo:
            index = todo.popleft()
            self._busy[actor.do.remote(index, parts[index])] = _Busy(actor=actor, index=index)
        else:
            # Not sent away: should another worker be lost, its part is done here.
            self._idle.append(actor)

    def _report(self, mailbox: Any, report: Callable[[int, int], None]) -> None:
        under_way = {str(busy.index) for busy in self._busy.values()}
        for event in call(mailbox.take):
            if isinstance(event, Moved) and event.job in under_way:
                report(int(event.job), event.done)

    def _lost(self, task: Task[PartT, ResultT], busy: _Busy, error: RayError) -> None:
        _kill(busy.actor)
        self._losses[busy.index] += 1
        if self._losses[busy.index] > self.max_failures:
            what = "while it began" if busy.index is None else f"with part {busy.index}"
            raise MixvelError(
                f"{task.name}: a worker was lost {what} {self._losses[busy.index]} times, at last by "
                f"{first_line(error)}; finished parts are kept: run the same line again to go on, or raise "
                "launcher.max_failures"
            )

    def _replace(self, begin: Callable[[], None]) -> None:
        """One more worker, if a node has room. Raises RecipeError where none has and none is left."""
        held = sum(node.holds(self.room.need) for node in nodes())
        if held > len(self._busy):
            begin()
        elif not self._busy:
            self.room.jobs(nodes())
            begin()

    def _error_of(self, task: Task[PartT, ResultT], error: RayTaskError) -> MixvelError:
        cause = cause_of(error)
        if isinstance(cause, MixvelError):
            return cause
        return MixvelError(f"{task.name}: a worker failed by {first_line(cause)}; finished parts are kept")


def _kill(actor: Any) -> None:
    # It may be dead already, or the cluster gone.
    with suppress(RayError, RuntimeError, ValueError):
        ray.kill(actor)
