"""World: the workers that train one network together, and signals that wait for the end of a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from attrs import field, frozen
from torch import Tensor, nn

from mixvel_core.data.row_groups import GroupReader, ThreadReader
from mixvel_core.errors import TrainingError

SameT = TypeVar("SameT")


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Runs the block to its end before Ctrl-C or SIGTERM is answered by whatever handler stands for it.

    An optimizer stopped half-way leaves weights of two different steps; what is saved then must not be that.
    A second signal is answered at once. Outside the main thread, where no signal arrives, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {s: h for s in (signal.SIGINT, signal.SIGTERM) if callable(h := signal.getsignal(s))}
    waiting: list[signal.Signals] = []

    def postpone(number: int, frame: FrameType | None) -> None:
        if waiting:
            handlers[signal.Signals(number)](number, frame)
        waiting.append(signal.Signals(number))

    for number in handlers:
        signal.signal(number, postpone)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if waiting:
        handlers[waiting[0]](waiting[0], None)


def _same(value: SameT) -> SameT:
    return value


@frozen(kw_only=True)
class World:
    """Worker ``rank`` of ``size``; one worker alone by default.

    ``wrap``: makes the module whose backward pass averages gradients over the workers. ``mean``, ``least``: the
    average and the smallest of a scalar over the workers. ``agree``: gives every worker the number that rank 0 calls
    it with. Rank 0 alone writes files and decides from them where to go on.
    """

    rank: int = 0
    size: int = 1
    wrap: Callable[[nn.Module], nn.Module] = field(default=_same)
    mean: Callable[[Tensor], Tensor] = field(default=_same)
    least: Callable[[Tensor], Tensor] = field(default=_same)
    agree: Callable[[int], int] = field(default=_same)
    reader: GroupReader = field(factory=ThreadReader)

    @property
    def leads(self) -> bool:
        """Whether this worker writes checkpoints, losses and the result."""
        return self.rank == 0

    def share(self, batch: int) -> range:
        """The rows of a global batch that are this worker's: equal, contiguous slices.

        Equal, because only then is the mean of the workers' gradients the gradient of the global mean.
        """
        if batch % self.size:
            raise TrainingError(
                f"a batch of {batch} cannot be split evenly over {self.size} workers; choose a multiple of {self.size}"
            )
        rows = batch // self.size
        return range(self.rank * rows, (self.rank + 1) * rows)
