"""Work in parts with known answers, whose workers can be lost; a worker's link to the driver without a cluster."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from attrs import define, field, frozen

from mixvel_core.errors import SamplingError
from mixvel_ray.progress import Event, Mailbox


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
        if self.begun is not None:
            (self.begun / str(os.getpid())).touch()

        def square(number: int, report: Callable[[int], None]) -> torch.Tensor:
            report(number)
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


@define
class DirectLink:
    """A link whose driver answers at once, or never if it is ``deaf``."""

    mailbox: Mailbox = field(factory=Mailbox)
    deaf: bool = False
    last: bool = False

    def send(self, events: Sequence[Event]) -> None:
        self.last = self.mailbox.post(events)

    def answer(self) -> bool | None:
        return None if self.deaf else self.last
