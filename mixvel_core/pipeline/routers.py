"""Stage `routers`: shards -> routers, each with no, one or several networks.

Where no item may leave its owner, a router learns from router data: samples of the experts in place of their shards.
Expert k is sampled by itself, n_k times, n_k in proportion to pi_k: every sample then counts the same, as every item of
a data set does, and the posterior of all samples has the prior pi (D2). It is the posterior of the experts' own laws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import evolve, frozen

from mixvel_core.artifacts.arrays import write_array
from mixvel_core.artifacts.artifact import Artifact, key_of, report_damage
from mixvel_core.artifacts.files import read_json, write_json
from mixvel_core.data.conditions import class_fractions, facts_of_specs, specs_of_facts
from mixvel_core.errors import ArtifactError, SamplingError
from mixvel_core.field.scale import to_uint8
from mixvel_core.pipeline.jobs import LOSSES, MODEL, Finish, ModelStage
from mixvel_core.pipeline.parts import ModelSource, SampleJob, mapper_of, sample_jobs
from mixvel_core.pipeline.shards import Shards, StoredShard
from mixvel_core.pipeline.shared_experts import ReadyExpert
from mixvel_core.plugin.definition import RouterUse, ScheduleUse
from mixvel_core.protocols import (
    FittedRouterFamily,
    NoiseSchedule,
    Progress,
    Router,
    RouterConfig,
    RouterFamily,
    Shard,
    TrainTask,
)
from mixvel_core.recipe.build import build
from mixvel_core.recipe.dump import keyed, plain
from mixvel_core.recipe.model import SampleOptions
from mixvel_core.training.options import RouterDataOptions

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from mixvel_core.sampling.sampler import Sampler


def counts_of(total: int, fractions: Sequence[float]) -> list[int]:
    """``total`` split in proportion to ``fractions`` by the largest remainders; each part is at least 1."""
    pi = np.asarray(fractions, np.float64)
    exact = total * pi / pi.sum()
    counts = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[: total - int(counts.sum())]] += 1
    return [int(count) for count in np.maximum(counts, 1)]


@frozen(kw_only=True)
class RouterDataStage:
    """How samples of all experts are made, each expert's an artifact of its own.

    ``experts``: their stages. ``seed``: the recipe's root seed. ``folder``: where the samples go. ``sample``: for the
    batch, the threads and the launcher, which change no sample.
    """

    experts: tuple[ReadyExpert, ...]
    options: RouterDataOptions
    seed: int
    folder: Path
    sample: SampleOptions

    def is_done(self) -> bool:
        """Whether every expert's samples are there."""
        return all(stage.is_done() for stage in self.experts) and all(
            artifact.is_done() for _, _, artifact in self._each()
        )

    def first_damaged(self) -> Path | None:
        """The first of the files that is not as it was written. The experts must be made."""
        return next(filter(None, (artifact.first_damaged() for _, _, artifact in self._each())), None)

    @property
    def shards(self) -> Shards:
        """The samples as shards, once they are made: with the fractions of the shards that they stand for."""
        parts = tuple(
            StoredShard(
                folder=artifact.folder,
                index=stage.shard.index,
                count=count,
                fraction=stage.shard.fraction,
                shape=stage.shard.shape,
            )
            for stage, count, artifact in self._each()
        )
        key = key_of(drawn=[artifact.digest() for _, _, artifact in self._each()])
        return Shards(key=key, parts=parts, about={"provenance": {}})

    def make(self, progress: Progress) -> None:
        """Samples every expert whose samples are not there yet. The experts must be made.

        Raises SamplingError where an expert's samples are not finite.
        """
        todo = [(stage, count, artifact) for stage, count, artifact in self._each() if not artifact.is_done()]
        report_damage((artifact.first_damaged() for _, _, artifact in todo), progress)
        jobs = [
            SampleJob(
                label=f"draw {stage.name}",
                spec=index,
                count=count,
                steps=self.options.steps,
                seed=self._seed(stage),
                artifact=artifact,
            )
            for index, (stage, count, artifact) in enumerate(todo)
        ]
        opening = partial(_open, tuple(stage for stage, _, _ in todo), self.options)
        source = ModelSource(folder=self.folder.parent, threads=self.sample.threads, open=opening)
        mapper = mapper_of(self.sample.launcher)
        for index, sampled in sample_jobs(source, jobs, mapper, self.sample.batch, progress):
            stage, _, artifact = todo[index]
            artifact.clear()
            self._store(artifact, stage, sampled.samples.x.float().numpy())

    def _seed(self, stage: ReadyExpert) -> int:
        from mixvel_core.randomness import key

        return key(self.seed, "drawn", stage.shard.index)

    def _each(self) -> list[tuple[ReadyExpert, int, Artifact]]:
        """Each expert, which must be made, the number of its samples, and what they are stored as."""
        counts = counts_of(self.options.count, [stage.shard.fraction for stage in self.experts])
        return [(stage, n, self._artifact(stage, n)) for stage, n in zip(self.experts, counts, strict=True)]

    def _artifact(self, stage: ReadyExpert, count: int) -> Artifact:
        key = key_of(
            expert=stage.artifact.digest(),
            drawn=keyed(evolve(self.options, count=count)),
            seed=self.seed,
            index=stage.shard.index,
        )
        return Artifact(folder=self.folder / str(stage.shard.index), key=key)

    def _store(self, artifact: Artifact, stage: ReadyExpert, x: np.ndarray) -> None:
        if not np.isfinite(x).all():
            raise SamplingError(f"{stage.name}: its samples are not finite; train it longer or draw with more steps")
        path = artifact.folder / "items.npy"
        write_array(path, to_uint8(x) if self.options.store == "uint8" else x)
        facts = {"count": len(x), "fraction": stage.shard.fraction, "shape": list(stage.shard.shape)}
        write_json(artifact.folder / "shard.json", {**facts, "drawn": plain(self.options)})
        artifact.commit([path.name, "shard.json"])


def _open(stages: Sequence[ReadyExpert], options: RouterDataOptions, device: torch.device) -> Callable[[int], Sampler]:
    """The samplers of single experts, by their place in ``stages``: the one that is sampled is in memory, no other."""
    from mixvel_core.sampling.residency import Residency
    from mixvel_core.sampling.routed_field import SingleExpertRouter
    from mixvel_core.sampling.sampler import Sampler

    residency = Residency(limit=1)

    def sampler(index: int) -> Sampler:
        stored = stages[index].result
        return Sampler(
            schedule=stages[index].schedule.build(),
            experts=(residency.get(index, lambda: stored.load(device)),),
            router=SingleExpertRouter(),
            selector=build("selector", "mixture"),
            integrator=build("integrator", options.integrator),
            steps=options.steps,
            grid=options.grid,
            delta=options.delta,
            shape=stages[index].shard.shape,
            device=device,
        )

    return sampler


def router_data_folder(run: Path, options: RouterDataOptions) -> Path:
    """Where the samples lie in a run folder: routers with the same options share them."""
    return run / "router_data" / f"{options.integrator}-{options.steps}-{options.count}-{key_of(**keyed(options))[:8]}"


def router_tensors(
    family: RouterFamily,
    shards: Sequence[Shard],
    schedule: NoiseSchedule,
    trained: Mapping[str, Mapping[str, Tensor]],
) -> Mapping[str, Tensor]:
    """All that is stored of a router: its tensors, and what is fitted to its trained networks."""
    tensors = family.tensors(shards, trained)
    if isinstance(family, FittedRouterFamily):
        # Here, because it loads torch.
        from mixvel_core.device import best_device

        near = {name: value.to(best_device()) for name, value in tensors.items()}
        fitted = family.fitted(shards, schedule, near)
        tensors = {**tensors, **{name: value.cpu() for name, value in fitted.items()}}
    return tensors


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
            return RouterConfig(
                fractions=tuple(found["fractions"]),
                shape=tuple(found["shape"]),
                conditions=specs_of_facts(found),
                class_fractions=tuple(map(tuple, found.get("class_fractions", ()))),
            )
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
        return self._artifact("router", self.family, shards=self.learned_from.key)

    @property
    def result(self) -> StoredRouter:
        """The router, once it is made."""
        return StoredRouter(key=self.artifact.digest(), folder=self.folder, family=self.family, schedule=self.schedule)

    def _tasks(self) -> tuple[Mapping[str, TrainTask], Finish]:
        family, shards = self.family.build(), self.learned_from.parts
        tasks = family.tasks(shards, self.schedule.build())

        def finish(trained: Mapping[str, Mapping[str, Tensor]]) -> None:
            facts: dict[str, Any] = {"fractions": self.shards.fractions, "shape": self.shards.shape}
            facts |= facts_of_specs(self.learned_from.conditions)
            if shares := class_fractions(shards):
                facts["class_fractions"] = shares
            beside = [f"{part}/{LOSSES}" for part in tasks]
            tensors = router_tensors(family, shards, self.schedule.build(), trained)
            self._write("router", self.family, facts, tensors, beside=beside)

        return tasks, finish
