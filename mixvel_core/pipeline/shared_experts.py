"""Experts that are one network: all shards -> one training -> ``experts/shared/``, of which expert k is label k."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from attrs import frozen

from mixvel_core.artifacts.artifact import Artifact, key_of
from mixvel_core.artifacts.files import read_json
from mixvel_core.errors import ArtifactError, RecipeError
from mixvel_core.pipeline.experts import ExpertStage, StoredExpert, config_of, config_of_shard, facts_of
from mixvel_core.pipeline.jobs import LOSSES, Finish, ModelStage
from mixvel_core.plugin.definition import ExpertUse, ScheduleUse
from mixvel_core.protocols import Expert, ExpertConfig, ExpertGroup, Moments, Shard, SharedFamily, TrainTask

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FOLDER = "shared"
"""In ``experts/`` of a run."""


def shared_family(use: ExpertUse) -> SharedFamily:
    """The family as one that trains a network for all shards. Raises RecipeError where it cannot."""
    family = use.build()
    if not isinstance(family, SharedFamily):
        raise RecipeError(f"expert {use.name}: has `shared: true` and cannot train one network for all shards")
    return family


def check_apart(use: ExpertUse, why: str) -> None:
    """Raises RecipeError, saying ``why``, where one network is asked for, and where experts are adapters."""
    if use.is_shared:
        raise RecipeError(f"expert.shared: {why}; set expert.shared=false")
    if use.adapts:
        raise RecipeError(
            f"expert {use.name}: adapters are nothing without their base, which is in a run; let each owner run a "
            "recipe of its own data on the same base, and name the folders of their experts in `adapters` of one run"
        )


@frozen(kw_only=True)
class StoredMember(StoredExpert):
    """Expert ``index`` in the folder of a shared network. Loaded by itself it brings the whole network with it."""

    index: int

    @property
    def config(self) -> ExpertConfig:
        """Index, count, fraction and shape of its shard."""
        return self._configs()[self.index]

    def load_group(self, device: torch.device | str = "cpu") -> ExpertGroup:
        """All experts of the folder, on ``device``."""
        return shared_family(self.family).load_shared(self._configs(), self.tensors(device), self.schedule.build())

    def load(self, device: torch.device | str = "cpu") -> Expert:
        """The expert, on ``device``."""
        from mixvel_core.sampling.dispatch import GroupMember

        return GroupMember(group=self.load_group(device), index=self.index)

    def _configs(self) -> tuple[ExpertConfig, ...]:
        path = self.facts_file
        try:
            return tuple(config_of(facts, path) for facts in read_json(path)["experts"])
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"{path}: not of experts that share a network ({error})") from None

    def moments(self, device: torch.device | str = "cpu") -> Moments | None:
        """Of this expert's shard, without the weights; None if those of a shard are not known."""
        every = super().moments(device)
        return None if every is None else Moments(mean=every.mean[self.index], variance=every.variance[self.index])


@frozen(kw_only=True)
class SharedStage(ModelStage):
    """How the experts of all ``shards`` are made at once, as one job. ``shards_key``: of the partition."""

    shards: tuple[Shard, ...]
    shards_key: str
    family: ExpertUse
    name: str = "experts"

    @property
    def artifact(self) -> Artifact:
        """The artifact of all experts."""
        return self._artifact("expert", self.family, shards=self.shards_key, index=self.name)

    @property
    def members(self) -> tuple[MemberStage, ...]:
        """The experts one by one."""
        return tuple(
            MemberStage(
                name=f"expert-{shard.index}",
                shard=shard,
                artifact=self.artifact,
                family=self.family,
                schedule=self.schedule,
            )
            for shard in self.shards
        )

    def _tasks(self) -> tuple[Mapping[str, TrainTask], Finish]:
        family, schedule = shared_family(self.family), self.schedule.build()

        def finish(trained: Mapping[str, Mapping[str, Tensor]]) -> None:
            tensors = family.shared_tensors(self.shards, trained[""])
            configs = [config_of_shard(shard) for shard in self.shards]
            moments = _stacked(family.load_shared(configs, tensors, schedule), len(configs))
            facts = {"experts": [facts_of(config) for config in configs]}
            self._write("expert", self.family, facts, tensors, moments=moments, beside=[LOSSES])

        return {"": family.shared_task(self.shards, schedule)}, finish


def _stacked(group: ExpertGroup, count: int) -> dict[str, Tensor] | None:
    """Moments of all shards, (K, *data); None if some are not known."""
    import torch

    known = [one for k in range(count) if (one := group.moments(k)) is not None]
    if len(known) < count:
        return None
    return {
        "mean": torch.stack([one.mean for one in known]),
        "variance": torch.stack([one.variance for one in known]),
    }


@frozen(kw_only=True)
class MemberStage:
    """The expert of ``shard``, one of those that are made as ``artifact``. ``name``: as if it were trained alone."""

    name: str
    shard: Shard
    artifact: Artifact
    family: ExpertUse
    schedule: ScheduleUse

    def is_done(self) -> bool:
        """Whether they are made."""
        return self.artifact.is_done()

    @property
    def result(self) -> StoredMember:
        """The expert, once they are made."""
        artifact, k = self.artifact, self.shard.index
        key = key_of(network=artifact.digest(), index=k)
        return StoredMember(key=key, folder=artifact.folder, family=self.family, schedule=self.schedule, index=k)


ReadyExpert: TypeAlias = ExpertStage | MemberStage
"""One expert of a run, made or to be made, whether it has a network of its own or a share in one."""
