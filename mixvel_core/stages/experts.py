"""Stage `experts` (and `monolith`): every shard -> an expert, trained on that shard and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import asdict, frozen

from mixvel_core.errors import ArtifactError
from mixvel_core.files import read_json, write_json
from mixvel_core.protocols import Expert, ExpertConfig, Job, Progress, Shard
from mixvel_core.recipe.dump import plain
from mixvel_core.recipe.use import ExpertUse, LauncherUse, ScheduleUse
from mixvel_core.stages.unit import Unit, key_of

if TYPE_CHECKING:
    import torch


@frozen(kw_only=True)
class StoredExpert:
    """An expert folder: ``config.json`` and ``model.safetensors``."""

    folder: Path
    family: ExpertUse
    schedule: ScheduleUse

    @property
    def config(self) -> ExpertConfig:
        """What the folder says of itself."""
        found = read_json(self.folder / "config.json")
        try:
            return ExpertConfig(
                index=found["index"],
                count=found["count"],
                fraction=found["fraction"],
                shape=tuple(found["shape"]),
            )
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"{self.folder / 'config.json'}: not an expert's ({error})") from None

    def load(self, device: torch.device | str = "cpu") -> Expert:
        """The expert, on ``device``."""
        from mixvel_core.training.sealed import read_sealed

        tensors, _ = read_sealed(self.folder / "model.safetensors")
        moved = {name: value.to(device) for name, value in tensors.items()}
        return self.family.build().load(self.config, moved, self.schedule.build())


@frozen(kw_only=True)
class Experts:
    """The artifact of the stage: the experts of all shards, or the monolith alone."""

    keys: tuple[str, ...]
    parts: tuple[StoredExpert, ...]


def expert_name(shard: Shard) -> str:
    """What the job of a shard is called: expert-K, or monolith for the whole data set."""
    return "monolith" if shard.index < 0 else f"expert-{shard.index}"


def expert_unit(
    shard: Shard, shards_key: str, family: ExpertUse, schedule: ScheduleUse, seed: int, folder: Path
) -> Unit:
    """The unit of one expert. Its key names its own shard, so another shard's options change nothing here."""
    key = key_of(shards=shards_key, index=shard.index, expert=plain(family), schedule=plain(schedule), seed=seed)
    return Unit(folder=folder, key=key)


def train_experts(
    shards: Sequence[Shard],
    shards_key: str,
    *,
    family: ExpertUse,
    schedule: ScheduleUse,
    launcher: LauncherUse,
    seed: int,
    folders: Sequence[Path],
    tensorboard: Path,
    progress: Progress,
) -> Experts:
    """Makes the expert of each shard that is not there yet.

    Args:
        shards: the shards to make experts of; each job is given its own and no other.
        shards_key: of the partition that made them.
        family: what kind of expert.
        schedule: the noise schedule.
        launcher: where the training runs.
        seed: the recipe's root seed; each job's key is grown from it and the job's name.
        folders: where each expert goes, in the order of the shards.
        tensorboard: parent of the event folders.
        progress: shows the jobs.
    """
    units = [expert_unit(s, shards_key, family, schedule, seed, f) for s, f in zip(shards, folders, strict=True)]
    todo = [(shard, unit) for shard, unit in zip(shards, units, strict=True) if not unit.is_done()]
    if todo:
        _make(todo, family, schedule, launcher, seed, tensorboard, progress)
    stored = tuple(StoredExpert(folder=f, family=family, schedule=schedule) for f in folders)
    return Experts(keys=tuple(unit.key for unit in units), parts=stored)


def _make(
    todo: Sequence[tuple[Shard, Unit]],
    use: ExpertUse,
    schedule_use: ScheduleUse,
    launcher: LauncherUse,
    seed: int,
    tensorboard: Path,
    progress: Progress,
) -> None:
    from mixvel_core.randomness import key
    from mixvel_core.training.result import read_trained

    family, schedule = use.build(), schedule_use.build()
    jobs: list[Job] = []
    for shard, unit in todo:
        task = family.task(shard, schedule)
        if task is not None:
            name = expert_name(shard)
            jobs.append(
                Job(
                    name=name,
                    task=task,
                    seed=key(seed, name),
                    folder=unit.folder,
                    tensorboard=tensorboard / name,
                )
            )
    if jobs:
        launcher.build().run(jobs, progress)
    trained = {job.folder for job in jobs}
    for shard, unit in todo:
        weights = read_trained(unit.folder) if unit.folder in trained else None
        _store(shard, unit, dict(family.tensors(shard, weights)), use, schedule_use)
    if not jobs:
        progress.line(f"experts: {len(todo)} in closed form, nothing to train")


def _store(shard: Shard, unit: Unit, tensors: dict[str, torch.Tensor], use: ExpertUse, schedule: ScheduleUse) -> None:
    from mixvel_core.training.sealed import write_sealed

    config = ExpertConfig(index=shard.index, count=shard.count, fraction=shard.fraction, shape=shard.shape)
    write_sealed(unit.folder / "model.safetensors", tensors, {"expert": use.name})
    write_json(
        unit.folder / "config.json",
        {**asdict(config), "expert": plain(use), "schedule": plain(schedule)},
    )
    unit.close(["model.safetensors", "config.json"])
