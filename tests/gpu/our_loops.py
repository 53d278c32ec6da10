"""The same work by mixvel: one training job, and the routed sampler."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch
from attrs import asdict, define, evolve
from plain_loops import Setting
from torch import Tensor

from mixvel_core import Sampler, build
from mixvel_core.protocols import Job, Moments
from mixvel_core.protocols.progress import Silent
from mixvel_core.testing.problems import MemoryShard
from mixvel_core.training.log import read_losses
from mixvel_core.training.loop import train
from mixvel_networks.denoiser import NetworkDenoiser
from mixvel_networks.unet import make_unet
from mixvel_routers.fixed import FixedRouter
from mixvel_unet.family import UNetFamily
from mixvel_unet.hooks import UNetOptions


def our_training(
    design: UNetOptions, items: np.ndarray, setting: Setting, device: torch.device
) -> Callable[[int], float]:
    """A training job of the given number of steps, in a folder of its own; its images a second, as it measures them.

    The first quarter of the steps is not timed, nor is what comes after the last: the result's way to the disk.
    """

    def run(steps: int) -> float:
        with _trained(design, items, setting, device, steps, log_every=max(2, steps // 4)) as folder:
            measured = json.loads((folder / "speed.json").read_text())
        return float(measured["images_per_second"])

    return run


def our_losses(
    design: UNetOptions, items: np.ndarray, setting: Setting, device: torch.device, steps: int
) -> list[float]:
    """The loss of every step of such a job."""
    with _trained(design, items, setting, device, steps, log_every=1) as folder:
        return read_losses(folder / "losses.csv")["loss"]


def resumed_losses(
    design: UNetOptions, items: np.ndarray, setting: Setting, device: torch.device, steps: int
) -> list[float]:
    """The same of a job that is interrupted half-way and goes on from its checkpoint."""
    with _trained(design, items, setting, device, steps, log_every=1, stop=steps // 2) as folder:
        return read_losses(folder / "losses.csv")["loss"]


@define(kw_only=True)
class _Stop:
    """Progress that interrupts once ``at`` steps are done, once."""

    at: int | None

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator[_Stop]:
        yield self

    def update(self, done: int, note: str = "") -> None:
        if done == self.at:
            self.at = None
            raise KeyboardInterrupt

    def line(self, text: str) -> None: ...


@contextmanager
def _trained(
    design: UNetOptions,
    items: np.ndarray,
    setting: Setting,
    device: torch.device,
    steps: int,
    *,
    log_every: int,
    stop: int | None = None,
) -> Iterator[Path]:
    options = evolve(
        design.train,
        steps=steps,
        precision="bfloat16" if setting.bfloat16 else "float32",
        channels_last=setting.channels_last,
        compile=setting.compile,
        cuda_graphs=setting.graphs,
        log_every=log_every,
        checkpoint_every=steps,
    )
    family = UNetFamily(**asdict(evolve(design, train=options), recurse=False))
    task = family.task(MemoryShard(items=items), build("schedule", "vp-cosine"))
    with tempfile.TemporaryDirectory() as folder:
        job = Job(name="timed", task=task, seed=0, folder=Path(folder))
        with suppress(KeyboardInterrupt):
            train(job, device=device, progress=_Stop(at=stop))
        train(job, device=device, progress=Silent())
        yield Path(folder)


def our_sampling(
    design: UNetOptions,
    shape: tuple[int, ...],
    count: int,
    steps: int,
    setting: Setting,
    device: torch.device,
    *,
    selector: str,
    experts: int,
) -> Callable[[], Tensor]:
    """``count`` samples of ``experts`` networks under a router that costs nothing: the loop is what is measured."""
    schedule = build("schedule", "vp-cosine")
    zero = torch.zeros(shape, device=device)
    members = [
        NetworkDenoiser(
            schedule=schedule,
            moments=Moments(mean=zero, variance=torch.ones_like(zero)),
            network=make_unet(design, shape, shape[0], k, "routed loop").to(device).eval().requires_grad_(False),
            prediction="v",
            clip=True,
        ).tuned(channels_last=setting.channels_last, compiled=setting.compile)
        for k in range(experts)
    ]
    sampler = Sampler(
        schedule=schedule,
        experts=members,
        router=FixedRouter(fractions=(1.0 / experts,) * experts),
        selector=build("selector", selector),
        integrator=build("integrator", "ddim"),
        steps=steps,
        delta=0.0,
        autocast=setting.bfloat16,
    )
    return lambda: sampler.sample(count=count, shape=shape, batch=count, device=device).x
