"""The jobs of a recipe: every network to be trained, with what it takes and what is known of its speed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen

from mixvel_core.cost.networks import Network, count
from mixvel_core.errors import ArtifactError
from mixvel_core.files import read_json
from mixvel_core.protocols import Shard
from mixvel_core.recipe.model import Recipe
from mixvel_core.stages.shards import WholeShard
from mixvel_core.stages.shared import FOLDER, shared_family
from mixvel_core.training.shared import is_shared

if TYPE_CHECKING:
    from mixvel_core.protocols import TrainTask


@frozen(kw_only=True)
class Speed:
    """Images a second, measured on ``workers`` of ``device`` together."""

    images_per_second: float
    workers: int
    device: str


@frozen(kw_only=True)
class PlannedJob:
    """One network. ``group``: what it is part of, as "experts" or "router a". ``images``: steps times batch.

    ``keep``: checkpoints kept. ``network``: None where it cannot be counted. ``speed``: of this job, if it has run.
    """

    name: str
    group: str
    steps: int
    batch: int
    keep: int
    network: Network | None
    speed: Speed | None

    @property
    def images(self) -> int:
        """Items it will see."""
        return self.steps * self.batch


def planned_jobs(recipe: Recipe, folder: Path, parts: Sequence[Shard]) -> tuple[PlannedJob, ...]:
    """All jobs of ``recipe`` on shards ``parts``; speeds are read in the run ``folder``."""
    return tuple(_jobs(recipe, folder, parts))


@frozen(kw_only=True, eq=False)
class _StandIn:
    """A shard as far as networks depend on it: losses that read all items need not do so to be counted."""

    index: int
    count: int
    fraction: float
    shape: tuple[int, ...]
    law: None = None

    @property
    def items(self) -> np.ndarray:
        """Two."""
        return np.zeros((2, *self.shape), np.float32)


def _jobs(recipe: Recipe, folder: Path, real: Sequence[Shard]) -> Iterator[PlannedJob]:
    schedule, shape = recipe.schedule.build(), real[0].shape
    parts = [_StandIn(index=p.index, count=p.count, fraction=p.fraction, shape=p.shape) for p in real]
    if is_shared(recipe.expert.options):
        together = shared_family(recipe.expert).shared_task(parts, schedule)
        yield from _group("experts", {"experts": (together, folder / "experts" / FOLDER)}, shape, labelled=True)
    else:
        experts = recipe.expert.build()
        tasks = {part.index: experts.task(part, schedule) for part in parts}
        yield from _group(
            "experts",
            {f"expert-{k}": (task, folder / "experts" / str(k)) for k, task in tasks.items() if task is not None},
            shape,
        )
    if recipe.monolith is not None:
        task = recipe.monolith.build().task(WholeShard(parts=tuple(parts)), schedule)
        if task is not None:
            yield from _group("monolith", {"monolith": (task, folder / "monolith")}, shape)
    for name, router in recipe.routers.items():
        mine = router.build().tasks(parts, schedule)
        named = {f"router-{name}" + (f"-{part}" if len(mine) > 1 else ""): part for part in mine}
        yield from _group(
            f"router {name}",
            {job: (mine[part], folder / "routers" / name / part) for job, part in named.items()},
            shape,
        )


def _group(
    group: str, jobs: dict[str, tuple[TrainTask, Path]], shape: tuple[int, ...], *, labelled: bool = False
) -> Iterator[PlannedJob]:
    # Jobs of one family with the same options have the same network.
    counted: dict[object, Network | None] = {}
    for name, (task, folder) in jobs.items():
        alike = (type(task), task.options)
        if alike not in counted:
            counted[alike] = count(task, shape, labelled=labelled)
        yield PlannedJob(
            name=name,
            group=group,
            steps=task.options.steps,
            batch=task.options.batch,
            keep=task.options.keep,
            network=counted[alike],
            speed=speed_at(folder),
        )


def speed_at(folder: Path) -> Speed | None:
    """What a training has left in its folder; None where there is nothing, or nothing of use.

    The file's name is that of ``mixvel_core.training.speed``, which imports torch.
    """
    try:
        found = read_json(folder / "speed.json")
        return Speed(
            images_per_second=float(found["images_per_second"]),
            workers=int(found["workers"]),
            device=str(found["device"]),
        )
    except (ArtifactError, KeyError, TypeError, ValueError):
        return None
