"""Work in parts with known answers, whose workers can be lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import torch
from attrs import frozen

from mixvel_core.errors import SamplingError


@frozen(kw_only=True)
class Squares:
    """The square of a number, as a tensor. ``killed_once``: the worker that squares 3 kills itself if this file is not
    there, and makes it. ``spoilt``: a number that cannot be squared. ``begun``: workers leave a file here."""

    folder: Path
    killed_once: Path | None = None
    always_killed: bool = False
    spoilt: int | None = None
    begun: Path | None = None
    name: str = "squares"

    def begin(self, device: torch.device) -> Callable[[int, Callable[[int], None]], torch.Tensor]:
        """See ``Errand``."""
        if self.begun is not None:
            (self.begun / str(os.getpid())).touch()

        def square(number: int, tell: Callable[[int], None]) -> torch.Tensor:
            tell(number)
            if number == 3 and self._is_to_die():
                os.kill(os.getpid(), signal.SIGKILL)
            if number == self.spoilt:
                raise SamplingError(f"{number} cannot be squared")
            return torch.tensor(number**2, device=device)

        return square

    def _is_to_die(self) -> bool:
        if self.killed_once is not None and not self.killed_once.exists():
            self.killed_once.touch()
            return True
        return self.always_killed
