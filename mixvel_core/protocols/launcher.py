"""Launcher: where training jobs run. The training function is the same under every launcher."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mixvel_core.protocols.progress import Progress
    from mixvel_core.protocols.training import TrainTask


@frozen(kw_only=True)
class Job:
    """One network to train, in isolation.

    ``name``: for example "expert-3". ``folder``: where its checkpoints and its result go. ``seed``: the key of
    its random numbers. ``tensorboard``: the folder of its event files, or None.
    """

    name: str
    task: TrainTask
    seed: int
    folder: Path
    tensorboard: Path | None = None


class Launcher(Protocol):
    """Runs jobs, one after the other or many at once."""

    def run(self, jobs: Sequence[Job], progress: Progress) -> None:
        """Trains every job to its end; each leaves ``trained.safetensors`` in its folder.

        A job whose folder holds a checkpoint goes on from it. Raises TrainingError naming the job and step.
        """
        ...
