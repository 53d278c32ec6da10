"""local: trains the jobs one after another, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from attrs import frozen

from mixvel_core.errors import RecipeError
from mixvel_core.protocols import Job, Progress
from mixvel_core.training.loop import train


@frozen(kw_only=True)
class LocalLauncher:
    """One job at a time. ``threads``: of torch while training, None for as many as it has."""

    device: Literal["auto", "cpu", "cuda"]
    threads: int | None

    def run(self, jobs: Sequence[Job], progress: Progress) -> None:
        """Trains every job that is not trained yet; stops at the first that fails.

        Raises RecipeError where there is no such device, and whatever ``train`` raises.
        """
        device = self._device()
        with _threads(self.threads):
            for job in jobs:
                train(job, device=device, progress=progress)

    def _device(self) -> torch.device:
        there = torch.cuda.is_available()
        if self.device == "cuda" and not there:
            raise RecipeError("launcher local: device cuda is not available here; use auto or cpu")
        return torch.device("cuda" if there and self.device != "cpu" else "cpu")


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
