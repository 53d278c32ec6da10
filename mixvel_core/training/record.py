"""Record: the losses of one training, in ``losses.csv`` and, where asked for, in TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from torch import Tensor

from mixvel_core.protocols.launcher import Job
from mixvel_core.training.losses import FILE, LossLog
from mixvel_core.training.scalars import Scalars
from mixvel_core.training.state import TrainState
from mixvel_core.training.world import World


class Record:
    """Where the losses of the next steps go: into ``state``, and into two views of what lies there."""

    def __init__(self, job: Job, state: TrainState, world: World) -> None:
        self._world = world
        self._losses = state.losses
        self._log = LossLog(job.folder / FILE, state.losses) if world.leads else None
        self._scalars = Scalars(job.tensorboard, state.step) if world.leads and job.tensorboard else None

    def __enter__(self) -> Record:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._scalars:
            self._scalars.close()

    def write(self, step: int, losses: Mapping[str, Tensor]) -> str:
        """Records the mean over all workers; returns the note for the progress bar."""
        # In one order on all workers, who wait for each other at every mean.
        values = {name: float(self._world.mean(losses[name].detach())) for name in sorted(losses)}
        self._losses.add(step, values)
        if self._log:
            self._log.append()
        if self._scalars:
            self._scalars.write(step, values)
        return f"loss {values['loss']:.4f}"

    def sync(self) -> None:
        """Before a checkpoint: what lies behind it will not be recorded again."""
        if self._scalars:
            self._scalars.sync()
