"""Stage `routers`: shards -> routers, each with no, one or several networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import asdict, frozen

from mixvel_core.artifacts.artifact import Artifact
from mixvel_core.artifacts.files import read_json
from mixvel_core.errors import ArtifactError
from mixvel_core.pipeline.jobs import LOSSES, MODEL, Finish, ModelStage
from mixvel_core.pipeline.router_data import RouterDataStage
from mixvel_core.pipeline.shards import Shards
from mixvel_core.plugin.definition import RouterUse, ScheduleUse
from mixvel_core.protocols import Router, RouterConfig, TrainTask
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
class RouterStage(ModelStage):
    """How a router is made. ``router_data``: makes the samples that it learns from in place of the shards' items, if
    it does."""

    shards: Shards
    name: str
    family: RouterUse
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
        return self._artifact(shards=self.learned_from.key, router=plain(self.family))

    @property
    def result(self) -> StoredRouter:
        """The router, once it is made."""
        return StoredRouter(key=self.artifact.digest(), folder=self.folder, family=self.family, schedule=self.schedule)

    def _tasks(self) -> tuple[Mapping[str, TrainTask], Finish]:
        family, shards = self.family.build(), self.learned_from.parts
        tasks = family.tasks(shards, self.schedule.build())

        def finish(trained: Mapping[str, Mapping[str, Tensor]]) -> None:
            facts = asdict(RouterConfig(fractions=self.shards.fractions, shape=self.shards.shape))
            beside = [f"{part}/{LOSSES}" for part in tasks]
            self._write("router", self.family, facts, family.tensors(shards, trained), beside=beside)

        return tasks, finish
