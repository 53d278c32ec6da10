"""Experts in limited room: parked in pinned host memory, read from files, or all on the device; seconds and bytes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from attrs import frozen
from ledger import Ledger
from ratios import LARGE, TOY, in_turn
from safetensors.torch import load_file, save_file
from torch import Tensor

from mixvel_core import Sampler, build
from mixvel_core.protocols import Expert, Moments
from mixvel_core.sampling.residency import Residency, ResidentExpert
from mixvel_networks.denoiser import NetworkDenoiser
from mixvel_networks.unet import UNet, make_unet
from mixvel_routers.fixed import FixedRouter
from mixvel_unet.hooks import UNetOptions

ROOM = 2
"""Experts on the device where there is not room for all."""


@frozen(kw_only=True)
class Stored:
    """Networks in files, and what samples by them on ``device``."""

    folder: Path
    design: UNetOptions
    shape: tuple[int, ...]
    device: torch.device
    experts: int

    def write(self) -> int:
        """Makes the files; the bytes of one."""
        for k in range(self.experts):
            save_file(self._made(k).state_dict(), self.folder / f"{k}.safetensors")
        return (self.folder / "0.safetensors").stat().st_size

    def sampler(self, room: Residency, steps: int) -> Sampler:
        """Draws one expert a step for each sample; the weights come as there is room."""
        schedule = build("schedule", "vp-cosine")
        zero = torch.zeros(self.shape, device=self.device)
        moments = Moments(mean=zero, variance=torch.ones_like(zero))
        experts = [
            ResidentExpert(schedule=schedule, moments=moments, load=partial(self._load, k, moments), residency=room)
            for k in range(self.experts)
        ]
        return Sampler(
            schedule=schedule,
            experts=experts,
            router=FixedRouter(fractions=(1.0 / self.experts,) * self.experts),
            selector=build("selector", "iid"),
            integrator=build("integrator", "ddim"),
            steps=steps,
            shape=self.shape,
            device=self.device,
        )

    def _load(self, k: int, moments: Moments) -> Expert:
        network = self._made(k)
        network.load_state_dict(load_file(self.folder / f"{k}.safetensors"))
        near = network.to(self.device).eval().requires_grad_(False)
        schedule = build("schedule", "vp-cosine")
        return NetworkDenoiser(schedule=schedule, moments=moments, network=near, prediction="v", clip=True)

    def _made(self, k: int) -> UNet:
        return make_unet(self.design, self.shape, self.shape[0], k, "paging")


def paging(ledger: Ledger) -> None:
    """Seconds of the parked experts and of those read from files over those of all on the device, and memory."""
    device = ledger.device
    design, shape, experts = (TOY, (1, 16, 16), 3) if ledger.toy else (LARGE, (3, 32, 32), 8)
    count, steps, repeats = (8, 2, 1) if ledger.toy else (512, 8, 3)
    with tempfile.TemporaryDirectory() as folder:
        stored = Stored(folder=Path(folder), design=design, shape=shape, device=device, experts=experts)
        size = stored.write()
        rooms = {
            "all on the device": Residency(limit=None),
            "parked": Residency(limit=ROOM, parks_on=device),
            "from files": Residency(limit=ROOM),
        }
        works: dict[str, Callable[[], Tensor]] = {}
        for name, room in rooms.items():
            sampler = stored.sampler(room, steps)
            works[name] = lambda sampler=sampler: sampler.sample(count, batch=count).x.cpu()  # type: ignore[misc]  # a default binds it
        wanted = works["all on the device"]()
        for name in ("parked", "from files"):
            off = float((works[name]() - wanted).abs().max())
            ledger.check(f"paging, {name}: largest difference of samples", off, 0.0, experts=experts, room=ROOM)
            _, _, ratio = in_turn(works[name], works["all on the device"], device, repeats)
            ledger.figure(f"paging, {name}, time over all on the device", ratio, "times", experts=experts, room=ROOM)
        ledger.figure("paging, bytes of an expert", size, "bytes")
        ledger.figure("paging, host memory of parked experts", rooms["parked"].host_bytes(), "bytes")
        ledger.figure("paging, experts on the device at once", rooms["parked"].most_held, "experts", room=ROOM)
        if device.type == "cuda":
            _peaks(ledger, stored, steps, count)


def _peaks(ledger: Ledger, stored: Stored, steps: int, count: int) -> None:
    for name, room in (
        ("all on the device", Residency(limit=None)),
        ("parked", Residency(limit=ROOM, parks_on=stored.device)),
    ):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        stored.sampler(room, steps).sample(count, batch=count)
        torch.cuda.synchronize()
        ledger.figure(f"paging, {name}: peak memory", torch.cuda.max_memory_allocated() - before, "bytes")
