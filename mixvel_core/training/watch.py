"""Watch: notices the first step whose loss or gradient is not finite."""

from __future__ import annotations

import torch
from torch import Tensor

from mixvel_core.errors import TrainingError
from mixvel_core.training.world import World


class Watch:
    """Looks at every step and keeps what it saw on the device: asking each time would make each step wait."""

    def __init__(self, name: str, device: torch.device) -> None:
        self._name = name
        self._first = torch.zeros((), dtype=torch.int64, device=device)

    def see(self, step: int, loss: Tensor, norm: Tensor) -> None:
        """``loss``: of step number ``step``, counted from 1. ``norm``: of its gradient. Both scalars."""
        fine = loss.detach().isfinite() & norm.isfinite()
        self._first = torch.where(fine | (self._first > 0), self._first, step)

    def check(self, world: World) -> None:
        """Raises TrainingError naming the first step that went wrong, if one did: on every worker if on one, because
        those who went on would wait for the others without end."""
        never = torch.iinfo(torch.int64).max
        step = int(world.least(torch.where(self._first > 0, self._first, never)))
        if step < never:
            raise TrainingError(
                f"{self._name}: step {step}: the loss or its gradient is not finite; lower learning_rate or look at "
                "the data, and start afresh; the last good checkpoint is kept"
            )

    @property
    def fine(self) -> bool:
        """Whether all was finite so far."""
        return not int(self._first)
