"""Stage `experts` (and `monolith`): every shard -> an expert, trained on that shard and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from attrs import asdict, frozen

from mixvel_core.artifacts.artifact import Artifact, key_of
from mixvel_core.artifacts.files import read_json, write_json
from mixvel_core.errors import ArtifactError, DataError
from mixvel_core.pipeline.jobs import TrainingJob
from mixvel_core.pipeline.shards import RemoteShard
from mixvel_core.plugin.definition import ExpertUse, ScheduleUse
from mixvel_core.protocols import Expert, ExpertConfig, Job, Moments, Shard
from mixvel_core.recipe.dump import plain

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MODEL = "model.safetensors"
MOMENTS = "moments.safetensors"
LOSSES = "losses.csv"
"""What a training leaves in its folder for the report to show (see ``training.losses``)."""


def config_of(facts: Any, path: Path) -> ExpertConfig:
    """The facts of an expert's shard, as ``path`` holds them. Raises ArtifactError where some are missing."""
    try:
        return ExpertConfig(
            index=facts["index"], count=facts["count"], fraction=facts["fraction"], shape=tuple(facts["shape"])
        )
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path}: not an expert's ({error})") from None


@frozen(kw_only=True)
class StoredExpert:
    """An expert folder: ``config.json``, ``model.safetensors`` and, if its owner shares them, the shard's moments."""

    folder: Path
    family: ExpertUse
    schedule: ScheduleUse

    @property
    def config(self) -> ExpertConfig:
        """Index, count, fraction and shape of its shard, as in ``config.json``."""
        return config_of(read_json(self.folder / "config.json"), self.folder / "config.json")

    def load(self, device: torch.device | str = "cpu") -> Expert:
        """The expert, on ``device``."""
        from mixvel_core.artifacts.tensors import read_tensors

        tensors = read_tensors(self.folder / MODEL, device)
        return self.family.build().load(self.config, tensors, self.schedule.build())

    def moments(self, device: torch.device | str = "cpu") -> Moments | None:
        """What is shared of the shard, without the weights; None if nothing is."""
        from mixvel_core.artifacts.tensors import read_tensors

        path = self.folder / MOMENTS
        return Moments(**read_tensors(path, device)) if path.exists() else None


@frozen(kw_only=True)
class Experts:
    """The artifact of the stage: the experts of all shards, or the monolith alone, and their digests."""

    keys: tuple[str, ...]
    parts: tuple[StoredExpert, ...]


class ReadyExpert(Protocol):
    """One expert of a run, made or to be made, whether it has a network of its own or a share in one.

    ``shard``: its own. ``name``: expert-K. ``artifact``: what it is made as, maybe together with others.
    ``result``: the expert, once it is made.
    """

    @property
    def shard(self) -> Shard: ...
    @property
    def schedule(self) -> ScheduleUse: ...
    @property
    def name(self) -> str: ...
    @property
    def artifact(self) -> Artifact: ...
    @property
    def result(self) -> Experts: ...


@frozen(kw_only=True)
class ExpertStage:
    """How the expert of ``shard`` is made, from that shard and nothing else.

    ``shards_key``: of the partition that made it. ``seed``: the recipe's root seed; the job's key is grown from it and
    the job's name. ``folder``: where the expert goes. ``tensorboard``: parent of the event folders.
    """

    shard: Shard
    shards_key: str
    family: ExpertUse
    schedule: ScheduleUse
    seed: int
    folder: Path
    tensorboard: Path

    @property
    def name(self) -> str:
        """What its job is called: expert-K, or monolith for the whole data set."""
        return "monolith" if self.shard.index < 0 else f"expert-{self.shard.index}"

    @property
    def artifact(self) -> Artifact:
        """The artifact of the expert."""
        key = key_of(
            shards=self.shards_key,
            index=self.shard.index,
            expert=plain(self.family),
            schedule=plain(self.schedule),
            seed=self.seed,
        )
        return Artifact(folder=self.folder, key=key)

    @property
    def result(self) -> Experts:
        """The expert, once it is made."""
        stored = StoredExpert(folder=self.folder, family=self.family, schedule=self.schedule)
        return Experts(keys=(self.artifact.digest(),), parts=(stored,))

    def training_jobs(self) -> list[TrainingJob]:
        """The expert, if it is not there yet. Raises DataError where its shard is not here to train it on."""
        if self.artifact.is_done():
            return []
        if isinstance(self.shard, RemoteShard):
            raise DataError(
                f"{self.folder}: missing or damaged, and the data of {self.name} stay with their owner; "
                "`mixvel assemble` makes a whole run in another --out"
            )
        damaged = self.artifact.first_damaged()
        self.artifact.start()
        from mixvel_core.randomness import key

        family = self.family.build()
        task = family.task(self.shard, self.schedule.build())
        jobs = {}
        if task is not None:
            jobs[""] = Job(
                name=self.name,
                task=task,
                seed=key(self.seed, self.name),
                folder=self.folder,
                tensorboard=self.tensorboard / self.name,
            )

        def finish(trained: Mapping[str, Mapping[str, Tensor]]) -> None:
            self.store(family.tensors(self.shard, trained.get("")), [LOSSES] if jobs else [])

        return [TrainingJob(name=self.name, jobs=jobs, finish=finish, damaged=damaged)]

    def store(self, tensors: Mapping[str, Tensor], beside: Sequence[str] = ()) -> None:
        """Writes the expert's folder: what ``load`` of its family needs, by name. ``beside``: files that are there."""
        from mixvel_core.artifacts.tensors import write_checksummed

        shard = self.shard
        config = ExpertConfig(index=shard.index, count=shard.count, fraction=shard.fraction, shape=shard.shape)
        write_checksummed(self.folder / MODEL, tensors, {"expert": self.family.name})
        files = [MODEL, "config.json", *beside]
        moments = self.family.build().load(config, tensors, self.schedule.build()).moments
        if moments is not None:
            # A file of its own: selectors need it of every expert, also of those that are never loaded.
            shared = {"mean": moments.mean, "variance": moments.variance}
            write_checksummed(self.folder / MOMENTS, shared, {"expert": self.family.name})
            files.append(MOMENTS)
        about = {**asdict(config), "expert": plain(self.family), "schedule": plain(self.schedule)}
        write_json(self.folder / "config.json", about)
        self.artifact.commit(files)
