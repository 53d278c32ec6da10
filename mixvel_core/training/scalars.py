"""TensorBoard event files of one training. The only importer of tensorboard, and only when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


class Scalars:
    """Writes losses as scalars into ``folder``."""

    def __init__(self, folder: Path, start: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # Events of an earlier run at steps that are done again are hidden, so that no step shows twice.
        self._writer = SummaryWriter(str(folder), purge_step=start + 1)

    def write(self, step: int, losses: Mapping[str, float]) -> None:
        """One point on each curve."""
        for name, value in losses.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Everything is on disk when this returns."""
        self._writer.close()
