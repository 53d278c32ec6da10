"""Record: the losses of one training, in ``losses.csv`` and, where asked for, in TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from torch import Tensor

from mixvel_core.protocols.launcher import Job
from mixvel_core.training.losses import LossLog
from mixvel_core.training.scalars import Scalars
from mixvel_core.training.world import World


class Record:
    """Where the losses after step ``start`` go; what was recorded of later steps is taken back."""

    def __init__(self, job: Job, start: int, world: World) -> None:
        self._world = world
        self._log = LossLog(job.folder / "losses.csv", start) if world.leads else None
        self._scalars = Scalars(job.tensorboard, start) if world.leads and job.tensorboard else None

    def __enter__(self) -> Record:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._scalars:
            self._scalars.close()

    def write(self, step: int, losses: Mapping[str, Tensor]) -> str:
        """Records the mean over all workers; returns the note for the progress bar."""
        # "loss" leads, whatever order the objective chose.
        names = sorted(losses, key=lambda name: name != "loss")
        values = {name: float(self._world.mean(losses[name].detach())) for name in names}
        if self._log:
            self._log.write(step, values)
        if self._scalars:
            self._scalars.write(step, values)
        return f"loss {values['loss']:.4f}"
