"""Board: shows what workers report, a bar for each job that is under way."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

from attrs import define, field, frozen

from mixvel_core.protocols import Progress, ProgressTask
from mixvel_ray.mailbox import Ended, Event, Failed, Moved, Opened, Said


@frozen(kw_only=True)
class _Open:
    bar: ProgressTask
    own: ExitStack


@define(kw_only=True)
class Board:
    """Used by one thread, the one that ``progress`` belongs to. ``bars`` closes what is left open."""

    progress: Progress
    bars: ExitStack
    _open: dict[str, _Open] = field(factory=dict, init=False)
    _steps: dict[str, int] = field(factory=dict, init=False)

    @property
    def under_way(self) -> bool:
        """Whether a job has begun and not ended."""
        return bool(self._open)

    def show(self, events: Iterable[Event]) -> None:
        """Shows events in their order. Raises what a Failed brings."""
        for event in events:
            match event:
                case Opened():
                    self._begin(event)
                case Moved(job, done, note) if job in self._open:
                    self._steps[job] = done
                    self._open[job].bar.update(done, note)
                case Ended(job):
                    self.end(job)
                case Said(text):
                    self.progress.line(text)
                case Failed(job, error):
                    self.end(job)
                    raise error
                case _:
                    # A report that was on its way when its job ended.
                    pass

    def end(self, job: str) -> None:
        """Takes the job's bar away, if it has one."""
        if job in self._open:
            self._open.pop(job).own.close()

    def _begin(self, event: Opened) -> None:
        if event.job in self._open:
            reached = self._steps.get(event.job, 0)
            self.progress.line(f"{event.job}: a worker was lost about step {reached}; goes on from its checkpoint")
            return
        own = ExitStack()
        self.bars.push(own)
        bar = own.enter_context(self.progress.task(event.job, event.total, event.unit))
        self._open[event.job] = _Open(bar=bar, own=own)
