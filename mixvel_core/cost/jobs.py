"""The jobs of a recipe: every network to be trained, its FLOPs and parameters, and how long it takes."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from mixvel_core.artifacts.files import read_json
from mixvel_core.cost.counting import Counts, Network, design_of, made_without_memory
from mixvel_core.cost.untrained import planned_family, stand_in_for
from mixvel_core.errors import ArtifactError
from mixvel_core.pipeline.shards import JoinedShard, are_local
from mixvel_core.pipeline.shared_experts import FOLDER, shared_family
from mixvel_core.protocols import Shard
from mixvel_core.recipe.model import PlanOptions, Recipe

if TYPE_CHECKING:
    from mixvel_core.protocols import TrainTask


CHECKPOINT = 16
"""Bytes a parameter in a checkpoint: weights, their average and Adam's two moments, float32 each."""

WEIGHTS = 4
"""Bytes a parameter in a model's file, float32."""


@frozen(kw_only=True)
class MeasuredSpeed:
    """Images a second, measured on ``workers`` of ``device`` together."""

    images_per_second: float
    workers: int
    device: str


@frozen(kw_only=True)
class PlannedJob:
    """One network. ``group``: what it is part of, as "experts" or "router a". ``images``: steps times batch.

    ``keep``: checkpoints kept. ``network``: None where it cannot be counted. ``speed``: of this job, if it has run.
    ``here``: measured on this machine in a few steps, if it was.
    """

    name: str
    group: str
    steps: int
    batch: int
    keep: int
    network: Network | None
    speed: MeasuredSpeed | None
    here: MeasuredSpeed | None = None

    @property
    def images(self) -> int:
        """Items it will see."""
        return self.steps * self.batch


def planned_jobs(recipe: Recipe, folder: Path, parts: Sequence[Shard]) -> tuple[PlannedJob, ...]:
    """All jobs of ``recipe`` on shards ``parts``; speeds are read in the run ``folder``."""
    jobs: list[PlannedJob] = []
    for group, tasks in _groups(recipe, folder, parts):
        counts = Counts(shape=parts[0].shape, labelled=group == "experts" and recipe.expert.is_shared)
        jobs += [
            PlannedJob(
                name=name,
                group=group,
                steps=task.options.steps,
                batch=task.options.batch,
                keep=task.options.keep,
                network=counts.of(task),
                speed=speed_at(place),
            )
            for name, (task, place) in tasks.items()
        ]
    return tuple(jobs)


def measured_here(jobs: Sequence[PlannedJob], recipe: Recipe, parts: Sequence[Shard]) -> tuple[PlannedJob, ...]:
    """The jobs, those of which nothing is known with what a few of their steps take here. Nothing is measured where
    training runs elsewhere, or the items are not on this machine's disks."""
    workers = recipe.launcher.workers()
    unknown = {job.name for job in jobs if rate_of(job, jobs, recipe.plan) is None and job.network is not None}
    if not unknown or not workers.here or not are_local(parts):
        return tuple(jobs)
    import torch

    from mixvel_core.cost.measure import images_per_second
    from mixvel_core.device import best_device

    device = best_device() if workers.device == "auto" else torch.device(workers.device)
    groups = _groups(recipe, Path(), parts, stand_in=False)
    tasks = {name: task for _, group in groups for name, (task, _) in group.items()}
    found: dict[tuple[str, Network], MeasuredSpeed | None] = {}
    made = []
    for job in jobs:
        if job.name not in unknown or job.network is None:
            made.append(job)
            continue
        place = job.group, job.network
        if place not in found:
            task = tasks[job.name]
            rate = images_per_second(
                task, design_of(made_without_memory(task).network), job.network.training, device, workers.threads
            )
            speed = MeasuredSpeed(images_per_second=rate or 0.0, workers=1, device=device.type)
            found[place] = None if rate is None else speed
        made.append(evolve(job, here=found[place]))
    return tuple(made)


def _groups(
    recipe: Recipe, folder: Path, real: Sequence[Shard], stand_in: bool = True
) -> Iterator[tuple[str, dict[str, tuple[TrainTask, Path]]]]:
    """Groups of trainings: each by its job's name, with the folder it trains in."""
    schedule = recipe.schedule.build()
    parts: list[Shard] = list(real)
    if stand_in:
        parts = [stand_in_for(part) for part in real]
    if recipe.expert.is_shared:
        together = shared_family(recipe.expert).shared_task(parts, schedule)
        yield "experts", {"experts": (together, folder / "experts" / FOLDER)}
    else:
        experts = planned_family(recipe, JoinedShard(parts=tuple(parts)), schedule)
        own = {part.index: experts.task(part, schedule) for part in parts}
        named = {f"expert-{k}": (task, folder / "experts" / str(k)) for k, task in own.items() if task is not None}
        yield "experts", named
    if recipe.monolith is not None:
        task = recipe.monolith.build().task(JoinedShard(parts=tuple(parts)), schedule)
        if task is not None:
            yield "monolith", {"monolith": (task, folder / "monolith")}
    for name, router in recipe.routers.items():
        mine = router.build().tasks(parts, schedule)
        yield (
            f"router {name}",
            {
                f"router-{name}" + (f"-{part}" if len(mine) > 1 else ""): (task, folder / "routers" / name / part)
                for part, task in mine.items()
            },
        )


def speed_at(folder: Path) -> MeasuredSpeed | None:
    """What a training has left in its folder; None where there is nothing, or nothing of use.

    The file's name is that of ``mixvel_core.training.log``, which imports torch.
    """
    try:
        found = read_json(folder / "speed.json")
        return MeasuredSpeed(
            images_per_second=float(found["images_per_second"]),
            workers=int(found["workers"]),
            device=str(found["device"]),
        )
    except (ArtifactError, KeyError, TypeError, ValueError):
        return None


@frozen(kw_only=True)
class Rate:
    """Images a second of one worker. ``source``: how it is known, in words. ``device``: what it was
    measured on, empty if it was not."""

    images_per_second: float
    source: str
    device: str


def rate_of(job: PlannedJob, jobs: Sequence[PlannedJob], options: PlanOptions) -> Rate | None:
    """The rate of a job, None where nothing is known.

    Its own, if it was measured; that of a job of the same group; the one that ``options`` states for experts, for other
    networks in proportion to FLOPs; that of a few steps here; or from FLOPs, if ``options`` states a device's peak.
    """
    for other in (job, *(one for one in jobs if one.group == job.group)):
        same = job.network is None or other.network is None or job.network.training == other.network.training
        if other.speed is not None and same:
            return Rate(
                images_per_second=other.speed.images_per_second / other.speed.workers,
                source="measured" if job is other else "measured on one like it",
                device=other.speed.device,
            )
    expert = next((one.network for one in jobs if one.group == "experts"), None)
    if options.images_per_second is not None and expert is not None and job.network is not None:
        scale = expert.training / job.network.training
        return Rate(images_per_second=options.images_per_second * scale, source="stated", device="")
    if job.here is not None:
        return Rate(images_per_second=job.here.images_per_second, source="measured here", device=job.here.device)
    if job.network is None or not job.network.training or options.peak_teraflops is None:
        return None
    usable = options.utilisation * options.peak_teraflops * 1e12
    return Rate(images_per_second=usable / job.network.training, source="FLOPs", device="")


def makespan(seconds: Sequence[float], at_once: int) -> float:
    """How long jobs take together, ``at_once`` at a time and the longest first, as launchers run them."""
    ends = [0.0] * min(at_once, max(1, len(seconds)))
    for one in sorted(seconds, reverse=True):
        heapq.heapreplace(ends, ends[0] + one)
    return max(ends)
