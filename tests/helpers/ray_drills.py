"""Trainings to lose workers, nodes and drivers with: slow enough to be hit, and leaving notes of where they run."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch.distributed as dist
from attrs import evolve, frozen
from torch import Tensor, nn
from trainable import LevelObjective, LevelTask, short, vectors

from mixvel_core.data.conditions import condition_file
from mixvel_core.pipeline.shards import StoredShard
from mixvel_core.protocols import Batch, ConditionSpec, Items, Job, NoiseSchedule, Objective
from mixvel_core.training.options import TrainOptions


@contextmanager
def ray_environment() -> Iterator[None]:
    """What workers of a cluster of a test need: one thread, and the helpers of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
        yield


def rank() -> int:
    """Of this worker; 0 where there is one alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def last_rank() -> int:
    """Of the last worker."""
    return dist.get_world_size() - 1 if dist.is_initialized() else 0


@frozen(kw_only=True)
class DrillObjective:
    """A level's objective, disturbed as its task says."""

    inner: LevelObjective
    task: DrillTask

    @property
    def network(self) -> nn.Module:
        return self.inner.network

    def losses(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        time.sleep(self.task.pause)
        step = round(batch.progress * self.task.options.steps)
        flag = self.task.killed_once
        if flag is not None and step == 13 and rank() == last_rank() and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        losses = self.inner.losses(network, batch)
        if step >= 5 and rank() == self.task.spoiled_rank:
            # The gradient stays finite, so that no other worker can know.
            return {name: value + float("inf") for name, value in losses.items()}
        return losses


@frozen(kw_only=True, eq=False)
class DrillTask(LevelTask):
    """``pause``: seconds before each step. ``killed_once``: a file that is made when the last worker kills itself, at
    step 13, and that saves it the next time. ``spoiled_rank``: of the worker whose losses are infinite. ``notes``:
    where each worker leaves a file named after its node."""

    pause: float = 0.0
    killed_once: Path | None = None
    spoiled_rank: int = -1
    notes: Path | None = None

    def objective(self, seed: int) -> Objective:  # type: ignore[override]  # an objective all the same
        if self.notes is not None:
            import ray

            (self.notes / str(ray.get_runtime_context().get_node_id())).touch()
        return DrillObjective(inner=LevelTask.objective(self, seed), task=self)


@frozen(kw_only=True)
class ShardTask:
    """A drill on the items of a stored shard, read where the training runs; the drill's own items give the shape."""

    drill: DrillTask
    shard: StoredShard
    shards: np.ndarray | None = None

    @property
    def items(self) -> Items:
        return self.shard.items

    @property
    def conditions(self) -> tuple[ConditionSpec, ...]:
        return self.shard.conditions

    def condition_values(self) -> Mapping[str, Items]:
        return self.shard.condition_values()

    @property
    def schedule(self) -> NoiseSchedule:
        return self.drill.schedule

    @property
    def options(self) -> TrainOptions:
        return self.drill.options

    def objective(self, seed: int) -> Objective:
        return self.drill.objective(seed)


def on_a_shard(job: Job, run: Path, index: int) -> Job:
    """The job on shard ``index`` of the run folder ``run``, where no other shard is."""
    folder = run / "shards" / str(index)
    folder.mkdir(parents=True)
    assert isinstance(job.task, DrillTask)
    items = job.task.items
    np.save(folder / "items.npy", items)
    np.save(folder / condition_file("class"), job.task.values["class"])
    shard = StoredShard(
        folder=folder,
        index=index,
        count=len(items),
        fraction=0.5,
        shape=tuple(items.shape[1:]),
        conditions=job.task.conditions,
    )
    return evolve(job, task=ShardTask(drill=evolve(job.task, items=items[:0], values={}), shard=shard))


def drill(name: str, folder: Path, *, steps: int = 40, **disturbed: Any) -> Job:
    """A job of a batch of four, its task ``disturbed``; all drills learn the same, which depends on the classes of the
    items and on when they are dropped."""
    items, options = vectors(), evolve(short(steps=steps), condition_dropout=0.4)
    specs, values = (ConditionSpec(name="class", classes=3),), {"class": np.arange(len(items)) % 3}
    task = DrillTask(items=items, options=options, **{"conditions": specs, "values": values, **disturbed})
    return Job(name=name, task=task, seed=7, folder=folder)
