"""Small trainings with known answers, and ways to disturb them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from attrs import field, frozen
from torch import Tensor, nn

from mixvel_core.protocols import Batch, ConditionSpec, Job, NoiseSchedule, Progress, RouterConfig
from mixvel_core.protocols.progress import Silent
from mixvel_core.randomness import seeded
from mixvel_core.testing.problems import MemoryShard
from mixvel_core.training.loop import train
from mixvel_core.training.options import TrainOptions
from mixvel_core.training.world import World
from mixvel_schedules.schedules import Cosine

CPU = torch.device("cpu")


def byte_shards(*counts: int, shape: tuple[int, ...] = (1, 4, 4)) -> list[MemoryShard]:
    """Shards 0, 1, ... of random bytes with ``counts`` items each."""
    rng = np.random.default_rng(0)
    return [MemoryShard(index=k, items=rng.integers(0, 256, (n, *shape), np.uint8)) for k, n in enumerate(counts)]


def router_config(shards: Sequence[MemoryShard]) -> RouterConfig:
    """The configuration of a router of these shards, their fractions by the numbers of items."""
    total = sum(s.count for s in shards)
    return RouterConfig(fractions=tuple(s.count / total for s in shards), shape=shards[0].shape)


class Level(nn.Module):
    """A network that answers the same vector whatever it sees; squared error makes it the mean of the data."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.randn(size))
        self.seen: Tensor
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen += len(x)
        return self.level.expand(len(x), -1)


@frozen(kw_only=True)
class LevelObjective:
    """Squared distance of the level from the items, moved by their class where they have one, spoiled from step
    ``spoiled`` on."""

    network: nn.Module
    spoiled: int
    steps: int

    def losses(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """``loss``, and the mean time as a part that is not minimised."""
        wanted = batch.x_0
        if batch.condition is not None:
            wanted = wanted + batch.condition.values["class"][:, None]
        loss = (network(batch.x_0) - wanted).square().mean()
        if round(batch.progress * self.steps) + 1 >= self.spoiled:
            loss = loss * float("nan")
        return {"time": batch.t.mean(), "loss": loss}


@frozen(kw_only=True, eq=False)
class LevelTask:
    """Learns the mean of ``items``, (n, D)."""

    items: np.ndarray
    options: TrainOptions
    shards: np.ndarray | None = None
    schedule: NoiseSchedule = field(factory=Cosine)
    spoiled: int = 1 << 30
    conditions: tuple[ConditionSpec, ...] = ()
    values: Mapping[str, np.ndarray] = field(factory=dict)

    def condition_values(self) -> Mapping[str, np.ndarray]:
        return self.values

    def objective(self, seed: int) -> LevelObjective:
        with seeded(seed):
            network = Level(self.items.shape[1])
        return LevelObjective(network=network, spoiled=self.spoiled, steps=self.options.steps)


def short(
    *, steps: int = 30, batch: int = 4, checkpoint_every: int = 8, keep: int = 2, log_every: int = 5, ema: float = 0.9
) -> TrainOptions:
    """A training of a fraction of a second."""
    return TrainOptions(
        steps=steps,
        batch=batch,
        warmup=3,
        learning_rate=0.1,
        checkpoint_every=checkpoint_every,
        keep=keep,
        log_every=log_every,
        ema=ema,
    )


def vectors(count: int = 10, size: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(0.5, 1.0, (count, size)).astype(np.float32)


def level_job(
    folder: Path,
    *,
    options: TrainOptions | None = None,
    spoiled: int = 1 << 30,
    seed: int = 7,
    tensorboard: Path | None = None,
    items: np.ndarray | None = None,
) -> Job:
    """The training that most tests disturb."""
    task = LevelTask(items=vectors() if items is None else items, options=options or short(), spoiled=spoiled)
    return Job(name="level", task=task, seed=seed, folder=folder, tensorboard=tensorboard)


@frozen(kw_only=True)
class _Bar:
    on_update: Callable[[int, str], None]

    def update(self, done: int, note: str = "") -> None:
        self.on_update(done, note)


@frozen(kw_only=True)
class Watching:
    """A progress that keeps lines, and calls ``on_update`` at each step, which may raise."""

    on_update: Callable[[int, str], None] = lambda done, note: None
    lines: list[str] = field(factory=list)

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator[_Bar]:
        yield _Bar(on_update=self.on_update)

    def line(self, text: str) -> None:
        self.lines.append(text)


class StoppedError(Exception):
    """What a test stops a training with."""


def stop_at(step: int, error: type[BaseException] = StoppedError) -> Watching:
    """A progress that raises once ``step`` steps are done."""

    def on_update(done: int, note: str) -> None:
        if done == step:
            raise error

    return Watching(on_update=on_update)


def run(job: Job, progress: Progress | None = None, world: World | None = None) -> None:
    train(job, device=CPU, progress=progress or Silent(), world=world or World())
