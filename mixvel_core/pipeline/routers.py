"""Stage `routers`: shards -> routers, each with no, one or several networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import asdict, frozen

from mixvel_core.artifacts.artifact import Artifact, key_of
from mixvel_core.artifacts.files import read_json, write_json
from mixvel_core.errors import ArtifactError
from mixvel_core.pipeline.experts import LOSSES, MODEL
from mixvel_core.pipeline.jobs import TrainingJob
from mixvel_core.pipeline.router_data import RouterDataStage
from mixvel_core.pipeline.shards import Shards
from mixvel_core.plugin.definition import RouterUse, ScheduleUse
from mixvel_core.protocols import Job, Router, RouterConfig
from mixvel_core.recipe.dump import plain

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@frozen(kw_only=True)
class StoredRouter:
    """The artifact of the stage, a router folder: ``config.json`` and ``model.safetensors``. ``key``: its digest."""

    key: str
    folder: Path
    family: RouterUse
    schedule: ScheduleUse

    @property
    def config(self) -> RouterConfig:
        """Fractions and shape of the shards, as in ``config.json``."""
        found = read_json(self.folder / "config.json")
        try:
            return RouterConfig(fractions=tuple(found["fractions"]), shape=tuple(found["shape"]))
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"{self.folder / 'config.json'}: not a router's ({error})") from None

    def load(self, device: torch.device | str = "cpu") -> Router:
        """The router, on ``device``."""
        from mixvel_core.artifacts.tensors import read_tensors

        tensors = read_tensors(self.folder / MODEL, device)
        return self.family.build().load(self.config, tensors, self.schedule.build())


@frozen(kw_only=True)
class RouterStage:
    """How a router is made; its networks are jobs called ``router-NAME`` or ``router-NAME-PART``.

    ``router_data``: makes the samples that it learns from in place of the shards' items, if it does. ``seed``: the
    recipe's root seed. ``folder``: where the router goes. ``tensorboard``: parent of the event folders.
    """

    shards: Shards
    name: str
    family: RouterUse
    schedule: ScheduleUse
    seed: int
    folder: Path
    tensorboard: Path
    router_data: RouterDataStage | None = None

    def is_done(self) -> bool:
        """Whether the router is made, and what it learned from is still there."""
        return (self.router_data is None or self.router_data.is_done()) and self.artifact.is_done()

    @property
    def learned_from(self) -> Shards:
        """What the router learns from: the shards, or the samples of experts in their place, which must be made."""
        return self.shards if self.router_data is None else self.router_data.shards

    @property
    def artifact(self) -> Artifact:
        """The artifact of the router."""
        key = key_of(
            shards=self.learned_from.key, router=plain(self.family), schedule=plain(self.schedule), seed=self.seed
        )
        return Artifact(folder=self.folder, key=key)

    @property
    def result(self) -> StoredRouter:
        """The router, once it is made."""
        return StoredRouter(key=self.artifact.digest(), folder=self.folder, family=self.family, schedule=self.schedule)

    def training_jobs(self) -> list[TrainingJob]:
        """The router, if it is not there yet."""
        if self.artifact.is_done():
            return []
        damaged = self.artifact.first_damaged()
        self.artifact.start()
        from mixvel_core.randomness import key

        family = self.family.build()
        shards = self.learned_from.parts
        tasks = family.tasks(shards, self.schedule.build())
        jobs = {}
        for part, task in tasks.items():
            job = f"router-{self.name}" if len(tasks) == 1 else f"router-{self.name}-{part}"
            jobs[part] = Job(
                name=job,
                task=task,
                seed=key(self.seed, job),
                folder=self.folder / part,
                tensorboard=self.tensorboard / job,
            )

        def finish(trained: Mapping[str, Mapping[str, Tensor]]) -> None:
            self._store(family.tensors(shards, trained), [f"{part}/{LOSSES}" for part in jobs])

        return [TrainingJob(name=f"router-{self.name}", jobs=jobs, finish=finish, damaged=damaged)]

    def _store(self, tensors: Mapping[str, Tensor], beside: Sequence[str]) -> None:
        from mixvel_core.artifacts.tensors import write_checksummed

        config = RouterConfig(fractions=self.shards.fractions, shape=self.shards.shape)
        write_checksummed(self.folder / MODEL, tensors, {"router": self.family.name})
        about = {**asdict(config), "router": plain(self.family), "schedule": plain(self.schedule)}
        write_json(self.folder / "config.json", about)
        self.artifact.commit([MODEL, "config.json", *beside])
