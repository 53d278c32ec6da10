"""Stage `routers`: shards -> routers, each with no, one or several networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from attrs import asdict, frozen

from mixvel_core.errors import ArtifactError
from mixvel_core.files import read_json, write_json
from mixvel_core.protocols import Job, Progress, Router, RouterConfig
from mixvel_core.recipe.dump import plain
from mixvel_core.recipe.use import LauncherUse, RouterUse, ScheduleUse
from mixvel_core.stages.shards import Shards
from mixvel_core.stages.unit import Unit, key_of

if TYPE_CHECKING:
    import torch


@frozen(kw_only=True)
class StoredRouter:
    """The artifact of the stage, a router folder: ``config.json`` and ``model.safetensors``."""

    key: str
    folder: Path
    family: RouterUse
    schedule: ScheduleUse

    @property
    def config(self) -> RouterConfig:
        """What the folder says of itself."""
        found = read_json(self.folder / "config.json")
        try:
            return RouterConfig(fractions=tuple(found["fractions"]), shape=tuple(found["shape"]))
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"{self.folder / 'config.json'}: not a router's ({error})") from None

    def load(self, device: torch.device | str = "cpu") -> Router:
        """The router, on ``device``."""
        from mixvel_core.training.sealed import read_sealed

        tensors, _ = read_sealed(self.folder / "model.safetensors")
        moved = {name: value.to(device) for name, value in tensors.items()}
        return self.family.build().load(self.config, moved, self.schedule.build())


def router_unit(shards_key: str, family: RouterUse, schedule: ScheduleUse, seed: int, folder: Path) -> Unit:
    """The unit of one router."""
    key = key_of(shards=shards_key, router=plain(family), schedule=plain(schedule), seed=seed)
    return Unit(folder=folder, key=key)


def train_router(
    shards: Shards,
    *,
    name: str,
    family: RouterUse,
    schedule: ScheduleUse,
    launcher: LauncherUse,
    seed: int,
    folder: Path,
    tensorboard: Path,
    progress: Progress,
) -> StoredRouter:
    """Makes a router, unless it is there; its networks are jobs called ``router-NAME`` or ``router-NAME-PART``."""
    unit = router_unit(shards.key, family, schedule, seed, folder)
    if not unit.is_done():
        _make(shards, name, unit, family, schedule, launcher, seed, tensorboard, progress)
    return StoredRouter(key=unit.key, folder=folder, family=family, schedule=schedule)


def _make(
    shards: Shards,
    name: str,
    unit: Unit,
    use: RouterUse,
    schedule_use: ScheduleUse,
    launcher: LauncherUse,
    seed: int,
    tensorboard: Path,
    progress: Progress,
) -> None:
    from mixvel_core.randomness import key
    from mixvel_core.training.result import read_trained
    from mixvel_core.training.sealed import write_sealed

    family, schedule = use.build(), schedule_use.build()
    tasks = family.tasks(shards.parts, schedule)
    jobs = {}
    for part, task in tasks.items():
        job = f"router-{name}" if len(tasks) == 1 else f"router-{name}-{part}"
        jobs[part] = Job(
            name=job,
            task=task,
            seed=key(seed, job),
            folder=unit.folder / part,
            tensorboard=tensorboard / job,
        )
    if jobs:
        launcher.build().run(list(jobs.values()), progress)
    trained = {part: read_trained(job.folder) for part, job in jobs.items()}
    write_sealed(unit.folder / "model.safetensors", dict(family.tensors(shards.parts, trained)), {"router": use.name})
    config = RouterConfig(fractions=shards.fractions, shape=shards.shape)
    write_json(unit.folder / "config.json", {**asdict(config), "router": plain(use), "schedule": plain(schedule_use)})
    unit.close(["model.safetensors", "config.json"])
