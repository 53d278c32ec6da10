"""Speed: images a second of one training, for the progress line and for the plans of later ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from attrs import define, field

from mixvel_core.artifacts.files import write_json
from mixvel_core.training.world import World

FILE = "speed.json"
WARM_UP = 2
"""Steps that are not timed: the first ones allocate, choose kernels and compile."""


@define(kw_only=True)
class SpeedMeter:
    """Times the steps of one process between the moments at which its results are waited for."""

    batch: int
    clock: Callable[[], float] = time.perf_counter
    _steps: int = field(init=False, default=0)
    _from: tuple[int, float] | None = field(init=False, default=None)
    _to: tuple[int, float] | None = field(init=False, default=None)

    def stepped(self) -> None:
        """A step was taken; on a GPU, it may still be computing."""
        self._steps += 1

    def waited(self) -> None:
        """All steps so far are computed."""
        if self._steps < WARM_UP:
            return
        if self._from is None:
            self._from = self._steps, self.clock()
        else:
            self._to = self._steps, self.clock()

    @property
    def images_per_second(self) -> float | None:
        """Over all workers together; None before anything was timed."""
        if self._from is None or self._to is None or self._to[1] <= self._from[1]:
            return None
        return self.batch * (self._to[0] - self._from[0]) / (self._to[1] - self._from[1])

    @property
    def note(self) -> str:
        """As in "1530 images/s"; nothing where nothing has been timed."""
        rate = self.images_per_second
        return f"{rate:.3g} images/s" if rate and rate < 100 else f"{rate:.0f} images/s" if rate else ""

    def write(self, folder: Path, device: torch.device, world: World) -> None:
        """Leaves the rate, with what it was measured on, in ``folder``; nothing where nothing was timed."""
        if self.images_per_second is None:
            return
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        found = {"images_per_second": round(self.images_per_second, 3), "workers": world.size, "device": name}
        write_json(folder / FILE, found)
