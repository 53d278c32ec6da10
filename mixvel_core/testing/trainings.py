"""A training of a fraction of a second, for launchers: picklable, so that it reaches any worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from attrs import field, frozen
from torch import Tensor, nn

from mixvel_core.field.conversions import add_noise, point_for
from mixvel_core.progress import Silent
from mixvel_core.protocols import Batch, Job, NoiseSchedule
from mixvel_core.randomness import seeded
from mixvel_core.testing.problems import Circle
from mixvel_core.training.loop import train
from mixvel_core.training.options import TrainOptions
from mixvel_core.training.result import read_trained

STEPS = 12
STOP = 6


def _short() -> TrainOptions:
    return TrainOptions(steps=STEPS, batch=4, warmup=2, learning_rate=0.05, checkpoint_every=3, log_every=4)


@frozen(kw_only=True, eq=False)
class Regression:
    """Squared error of a linear denoiser; ``spoilt``: of which nothing finite comes."""

    network: nn.Module
    schedule: NoiseSchedule
    spoilt: bool

    def losses(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """``loss``."""
        x = add_noise(batch.x_0, batch.eps, point_for(self.schedule, batch.t, batch.x_0))
        loss = (network(x) - batch.x_0).square().mean()
        return {"loss": loss * float("nan") if self.spoilt else loss}


@frozen(kw_only=True, eq=False)
class LinearTask:
    """Fits a linear map to ``count`` vectors drawn from ``seed``."""

    seed: int
    count: int = 16
    spoilt: bool = False
    schedule: NoiseSchedule = field(factory=Circle)
    options: TrainOptions = field(factory=_short)

    @property
    def items(self) -> np.ndarray:
        """(count, 3), float32."""
        drawn = np.random.default_rng(self.seed).uniform(-1, 1, (self.count, 3))
        return np.asarray(drawn, dtype=np.float32)

    @property
    def shards(self) -> None:
        """Not known."""
        return

    def objective(self, seed: int) -> Regression:
        """A fresh linear map."""
        with seeded(seed):
            network = nn.Linear(3, 3)
        return Regression(network=network, schedule=self.schedule, spoilt=self.spoilt)


def job(folder: Path, name: str, task: LinearTask) -> Job:
    """A job whose seed follows from its name."""
    return Job(name=name, task=task, seed=sum(name.encode()), folder=folder / name)


def trained_by_the_loop(one: Job) -> dict[str, Tensor]:
    """The result of ``train`` itself, in this process, on the CPU, in the job's folder."""
    train(one, device=torch.device("cpu"), progress=Silent())
    return read_trained(one.folder)


def half_way(one: Job) -> None:
    """Leaves the checkpoints of an interrupted training in the job's folder."""
    try:
        train(one, device=torch.device("cpu"), progress=_Watching(on_update=_stop))
    except KeyboardInterrupt:
        return


@frozen(kw_only=True)
class _Bar:
    on_update: Callable[[int], None]

    def update(self, done: int, note: str = "") -> None:
        """Calls back."""
        self.on_update(done)


@frozen(kw_only=True)
class _Watching:
    on_update: Callable[[int], None]

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator[_Bar]:
        """A bar that calls back."""
        yield _Bar(on_update=self.on_update)

    def line(self, text: str) -> None:
        """Nothing."""


def _stop(done: int) -> None:
    if done == STOP:
        raise KeyboardInterrupt
