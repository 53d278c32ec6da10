"""Stage `experts` (and `monolith`): every shard -> an expert, trained on that shard and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import asdict, frozen

from mixvel_core.artifacts.artifact import Artifact
from mixvel_core.artifacts.files import read_json
from mixvel_core.data.conditions import conditions_of, facts_of_specs, specs_of_facts
from mixvel_core.errors import ArtifactError, DataError
from mixvel_core.pipeline.jobs import LOSSES, MODEL, MOMENTS, Finish, ModelStage
from mixvel_core.pipeline.shards import CheckpointShard, JoinedShard, RemoteShard
from mixvel_core.plugin.definition import ExpertUse, ScheduleUse
from mixvel_core.protocols import (
    AdapterFamily,
    CheckpointFamily,
    Condition,
    ConditionalFamily,
    ConditionSpec,
    Expert,
    ExpertConfig,
    ExpertFamily,
    ExpertGroup,
    Moments,
    NoiseSchedule,
    Shard,
    TrainTask,
    null_condition,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def config_of(facts: Any, path: Path) -> ExpertConfig:
    """The facts of an expert's shard, as ``path`` holds them. Raises ArtifactError where some are missing."""
    try:
        return ExpertConfig(
            index=facts["index"],
            count=facts["count"],
            fraction=facts["fraction"],
            shape=tuple(facts["shape"]),
            conditions=specs_of_facts(facts),
        )
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path}: not an expert's ({error})") from None


def config_of_shard(shard: Shard) -> ExpertConfig:
    """The facts of a shard that its expert is loaded with."""
    return ExpertConfig(
        index=shard.index,
        count=shard.count,
        fraction=shard.fraction,
        shape=shard.shape,
        conditions=conditions_of(shard),
    )


def facts_of(config: ExpertConfig) -> dict[str, Any]:
    """What ``config.json`` says of an expert's shard; without a line of conditions where there are none."""
    facts = asdict(config)
    del facts["conditions"]
    return facts | facts_of_specs(config.conditions)


def conditions_read(family: ExpertFamily, conditions: Sequence[ConditionSpec]) -> Sequence[ConditionSpec]:
    """Which of the items' conditions experts of a family read; empty where none."""
    return family.reads(conditions) if isinstance(family, ConditionalFamily) else ()


@frozen(kw_only=True)
class StoredBase:
    """A stored expert as what adapters change. It can be pickled: the family and its schedule are built.

    ``key``: its digest.
    """

    key: str
    folder: Path
    family: ExpertFamily
    schedule: NoiseSchedule

    def load(self, device: torch.device | str = "cpu") -> Expert:
        """The expert, on ``device``."""
        from mixvel_core.artifacts.tensors import read_tensors

        return self.family.load(_config_in(self.folder), read_tensors(self.folder / MODEL, device), self.schedule)


@frozen(kw_only=True)
class StoredExpert:
    """An expert folder: ``config.json``, ``model.safetensors`` and, if its owner shares them, the shard's moments.

    ``key``: its digest. ``base``: of an adapter.
    """

    key: str
    folder: Path
    family: ExpertUse
    schedule: ScheduleUse
    base: StoredBase | None = None

    @property
    def facts_file(self) -> Path:
        """The file that says what its shard is."""
        return self.folder / "config.json"

    @property
    def config(self) -> ExpertConfig:
        """Index, count, fraction and shape of its shard, as in its file."""
        return config_of(read_json(self.facts_file), self.facts_file)

    def tensors(self, device: torch.device | str = "cpu") -> dict[str, Tensor]:
        """What its family loads it from, on ``device``."""
        from mixvel_core.artifacts.tensors import read_tensors

        return read_tensors(self.folder / MODEL, device)

    @property
    def null(self) -> Condition | None:
        """The null condition of the expert, which is known without its weights; None where it reads none."""
        family = self.family.build() if self.base is None else self.base.family
        return null_condition(conditions_read(family, self.config.conditions))

    def load(self, device: torch.device | str = "cpu") -> Expert:
        """The expert, on ``device``."""
        family = family_on(self.family, self.base)
        return family.load(self.config, self.tensors(device), self.schedule.build())

    def as_base(self) -> StoredBase:
        """The same as what adapters change."""
        family = family_on(self.family, self.base)
        return StoredBase(key=self.key, folder=self.folder, family=family, schedule=self.schedule.build())

    def moments(self, device: torch.device | str = "cpu") -> Moments | None:
        """What is shared of the shard, without the weights; None if nothing is."""
        from mixvel_core.artifacts.tensors import read_tensors

        path = self.folder / MOMENTS
        return Moments(**read_tensors(path, device)) if path.exists() else None


def _config_in(folder: Path) -> ExpertConfig:
    return config_of(read_json(folder / "config.json"), folder / "config.json")


def family_on(use: ExpertUse, base: StoredBase | None) -> ExpertFamily:
    """The family of a recipe's experts, on their base if they are adapters."""
    family = use.build()
    return family.on(base) if base is not None and isinstance(family, AdapterFamily) else family


def load_adapters(stored: Sequence[StoredExpert], device: torch.device | str = "cpu") -> ExpertGroup | None:
    """Experts that are adapters of one base, on ``device``, the base in memory once; None where they are none, or each
    is to be loaded by itself."""
    if not stored or stored[0].base is None:
        return None
    family = family_on(stored[0].family, stored[0].base)
    if not isinstance(family, AdapterFamily):
        return None
    configs, tensors = [one.config for one in stored], [one.tensors(device) for one in stored]
    return family.load_together(configs, tensors, stored[0].schedule.build())


def _is_checkpoint(shard: Shard) -> bool:
    """Whether its expert was there already, or those of all shards that it joins."""
    parts = shard.parts if isinstance(shard, JoinedShard) else (shard,)
    return all(isinstance(part, CheckpointShard) for part in parts)


@frozen(kw_only=True)
class ExpertStage(ModelStage):
    """How the expert of ``shard`` is made, from that shard and nothing else, but for the base that an adapter changes.

    ``shards_key``: of the partition that made it. ``base``: makes what an adapter changes.
    """

    shard: Shard
    shards_key: str
    family: ExpertUse
    base: ExpertStage | None = None

    @property
    def name(self) -> str:
        """What its job is called: expert-K, or monolith for the whole data set."""
        return "monolith" if self.shard.index < 0 else f"expert-{self.shard.index}"

    @property
    def artifact(self) -> Artifact:
        """The artifact of the expert. Raises ArtifactError for an adapter whose base is not made."""
        base = {} if self.base is None else {"base": self.base.artifact.digest()}
        return self._artifact("expert", self.family, shards=self.shards_key, index=self.shard.index, **base)

    def is_done(self) -> bool:
        """Whether the expert is made, and its base if it is an adapter."""
        return (self.base is None or self.base.is_done()) and self.artifact.is_done()

    @property
    def result(self) -> StoredExpert:
        """The expert, once it is made."""
        return StoredExpert(
            key=self.artifact.digest(),
            folder=self.folder,
            family=self.family,
            schedule=self.schedule,
            base=None if self.base is None else self.base.result.as_base(),
        )

    def _family(self) -> ExpertFamily:
        return family_on(self.family, None if self.base is None else self.base.result.as_base())

    def _tasks(self) -> tuple[Mapping[str, TrainTask], Finish]:
        family = self._family()
        if _is_checkpoint(self.shard) and isinstance(family, (CheckpointFamily, AdapterFamily)):
            index, known = self.shard.index, family

            def copy(trained: Mapping[str, Mapping[str, Tensor]]) -> None:
                self.store(known.tensors_without_items(index))

            return {}, copy
        if isinstance(self.shard, RemoteShard):
            raise DataError(
                f"{self.folder}: missing or damaged, and the data of {self.name} stay with their owner; "
                "`mixvel assemble` makes a whole run in another --out"
            )
        task = family.task(self.shard, self.schedule.build())

        def finish(trained: Mapping[str, Mapping[str, Tensor]]) -> None:
            self.store(family.tensors(self.shard, trained.get("")), [] if task is None else [LOSSES])

        return {} if task is None else {"": task}, finish

    def store(self, tensors: Mapping[str, Tensor], beside: Sequence[str] = ()) -> None:
        """Writes the expert's folder: what ``load`` of its family needs, by name. ``beside``: files that are there."""
        config = config_of_shard(self.shard)
        moments = self._family().load(config, tensors, self.schedule.build()).moments
        shared = None if moments is None else {"mean": moments.mean, "variance": moments.variance}
        base = {} if self.base is None else {"base": self.base.artifact.digest()}
        self._write("expert", self.family, facts_of(config) | base, tensors, moments=shared, beside=beside)
