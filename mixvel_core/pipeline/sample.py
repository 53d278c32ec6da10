"""Stage `sample`: experts and routers -> samples, for every method, step count and seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import asdict, frozen

from mixvel_core.artifacts.arrays import read_arrays
from mixvel_core.artifacts.artifact import Artifact, key_of, report_damage
from mixvel_core.pipeline.experts import StoredExpert
from mixvel_core.pipeline.parts import (
    ModelSource,
    SampleJob,
    SamplingTime,
    forget_parts,
    mapper_of,
    sample_jobs,
    sampling_time,
    write_samples,
)
from mixvel_core.pipeline.routers import StoredRouter
from mixvel_core.pipeline.shared_experts import StoredMember
from mixvel_core.plugin.definition import IntegratorUse, ScheduleUse, SelectorUse
from mixvel_core.protocols import Progress
from mixvel_core.recipe.dump import keyed
from mixvel_core.recipe.grids import Grid
from mixvel_core.recipe.model import SampleOptions, WeightOptions

if TYPE_CHECKING:
    import torch

    from mixvel_core.protocols import Expert, Router
    from mixvel_core.sampling.sampler import Sampler
    from mixvel_core.sampling.weights import WeightTransform


@frozen(kw_only=True)
class Models:
    """What can be sampled from: the upstream artifacts."""

    schedule: ScheduleUse
    experts: tuple[StoredExpert, ...]
    monolith: StoredExpert | None
    routers: Mapping[str, StoredRouter]


@frozen(kw_only=True)
class SampleSpec:
    """One row and column of the table, for one seed, with every default filled in."""

    method: str
    steps: int
    seed: int
    selector: SelectorUse
    integrator: IntegratorUse
    router: str | None
    weights: WeightOptions
    grid: Grid

    @property
    def stem(self) -> str:
        """What files of such samples are called, by what a reader looks for."""
        source = "monolith" if self.router is None else f"{self.router}-{self.selector.name}"
        return f"{source}-{self.integrator.name}-{self.steps}"


@frozen(kw_only=True)
class StoredSamples:
    """The artifact of one ``SampleSpec``: an NPZ file, and in its record the time it took.

    ``count``, ``delta``: of the recipe that asked for it. ``label``: of its row in tables, if not its method's name.
    """

    draw: SampleSpec
    artifact: Artifact
    count: int
    delta: float
    label: str = ""

    @property
    def row(self) -> str:
        """The name of its row in tables: the method's, and what sets it apart from others of that name."""
        return self.label or self.draw.method

    @property
    def path(self) -> Path:
        """The file of arrays ``x``, ``evaluations``, ``times``, ``usage`` and ``origin`` (see ``Samples``)."""
        return self.artifact.folder / f"{self.artifact.name}.npz"

    @property
    def time(self) -> SamplingTime:
        """How long the sampling took."""
        return sampling_time(self.artifact.notes(), len(self.array("evaluations")))

    def array(self, name: str) -> np.ndarray:
        """One of the arrays. Raises ArtifactError where the file is damaged."""
        return read_arrays(self.path, name)[0]


def sample_specs(options: SampleOptions, routers: Sequence[str]) -> Iterator[SampleSpec]:
    """Every row, column and seed of the table, in its order."""
    for name, method in options.methods.items():
        for steps in options.steps:
            for seed in options.seeds:
                yield SampleSpec(
                    method=name,
                    steps=steps,
                    seed=seed,
                    selector=method.selector or options.selector,
                    integrator=method.integrator or options.integrator,
                    router=None if method.model == "monolith" else method.router or routers[0],
                    weights=method.weights or options.weights,
                    grid=method.grid or options.grid,
                )


def sample_artifact(draw: SampleSpec, options: SampleOptions, models_key: str, folder: Path) -> Artifact:
    """The artifact of one ``SampleSpec``, beside others of its method, steps and seed. Its key leaves out how many
    samples or experts are held at once."""
    key = key_of(models=models_key, **keyed(draw), **settings_of_all(options))
    name = f"steps-{draw.steps}-seed-{draw.seed}"
    return Artifact(folder=folder / draw.method, key=key, name=name).beside_others()


def settings_of_all(options: SampleOptions) -> dict[str, Any]:
    """The settings of all rows that change samples, as plain data."""
    matters = ("autocast", "channels_last", "compile", "count", "delta")
    return {name: value for name, value in keyed(options).items() if name in matters}


def stored_samples(models: Models, options: SampleOptions, folder: Path) -> tuple[StoredSamples, ...]:
    """Every row, column and seed of the table, made or to be made, in ``samples/`` of a run, ``folder``."""
    return tuple(
        StoredSamples(
            draw=draw,
            artifact=sample_artifact(draw, options, models_key(models, draw.router), folder),
            count=options.count,
            delta=options.delta,
        )
        for draw in sample_specs(options, list(models.routers))
    )


def models_key(models: Models, router: str | None) -> str:
    """A digest of the networks that are sampled; ``router``: which one routes, None for the monolith."""
    if router is None:
        keys = [models.monolith.key] if models.monolith else []
        return key_of(schedule=keyed(models.schedule), monolith=keys)
    keys = [expert.key for expert in models.experts]
    return key_of(schedule=keyed(models.schedule), experts=keys, router=models.routers[router].key)


def sample(models: Models, options: SampleOptions, folder: Path, progress: Progress) -> tuple[StoredSamples, ...]:
    """Samples every row and column of the table that is not there yet.

    Args:
        models: experts, monolith and routers.
        options: the methods, step counts and seeds.
        folder: ``samples/`` of the run.
        progress: a bar for each method, in sample-steps.
    """
    stored = stored_samples(models, options, folder)
    todo = [s for s in stored if not s.artifact.is_done()]
    if todo:
        report_damage((s.artifact.first_damaged() for s in todo), progress)
        jobs = [sample_job(_label(one.draw, options), one.draw, options.count, one.artifact) for one in todo]
        source = model_source(models, options, folder.parent)
        for index, sampled in sample_jobs(source, jobs, mapper_of(options.launcher), options.batch, progress):
            one = todo[index]
            write_samples(one.path, sampled.samples)
            one.artifact.commit([one.path.name], **asdict(sampled.time))
            forget_parts(one.artifact)
    return stored


def sample_job(label: str, draw: SampleSpec, count: int, artifact: Artifact | None = None) -> SampleJob[SampleSpec]:
    """The job that samples ``count`` by one row and column of the table."""
    return SampleJob(label=label, spec=draw, count=count, steps=draw.steps, seed=draw.seed, artifact=artifact)


def _label(draw: SampleSpec, options: SampleOptions) -> str:
    return f"sample {draw.method} {draw.steps} steps" + (f" seed {draw.seed}" if len(options.seeds) > 1 else "")


def model_source(models: Models, options: SampleOptions, run: Path) -> ModelSource[SampleSpec]:
    """The models of the run folder ``run``, for workers to load."""
    return ModelSource(folder=run.absolute(), threads=options.threads, open=partial(_open, models, options))


def _open(models: Models, options: SampleOptions, device: torch.device) -> Callable[[SampleSpec], Sampler]:
    return Loaded(models, options, device).sampler


def _transform(options: WeightOptions) -> WeightTransform:
    from mixvel_core.sampling.weights import WeightTransform

    return WeightTransform(
        temperature=options.temperature,
        floor=options.floor,
        top=options.top,
        soft=options.soft,
        from_=options.from_,
    )


class Loaded:
    """Models in memory, each loaded once, when a method first needs it.

    Experts and monolith share the room of ``resident_experts``. ``device``: where they are; the best one if None.
    """

    def __init__(self, models: Models, options: SampleOptions, device: torch.device | None = None) -> None:
        from mixvel_core.device import best_device
        from mixvel_core.sampling.residency import Residency

        self.models = models
        self.options = options
        self.device = device or best_device()
        self.schedule = models.schedule.build()
        self.shape = next(one for one in (*models.experts, models.monolith) if one is not None).config.shape
        self._residency = Residency(limit=options.resident_experts)
        self._experts: dict[bool, tuple[Expert, ...]] = {}
        self._routers: dict[str, Router] = {}

    def sampler(self, draw: SampleSpec) -> Sampler:
        """The sampler of a row and column, its experts loaded as far as there is room."""
        from mixvel_core.sampling.residency import load_resident
        from mixvel_core.sampling.routed_field import SingleExpertRouter
        from mixvel_core.sampling.sampler import Sampler

        experts = self.experts(monolith=draw.router is None)
        load_resident(experts)
        return Sampler(
            schedule=self.schedule,
            experts=experts,
            router=SingleExpertRouter() if draw.router is None else self.router(draw.router),
            selector=draw.selector.build(),
            integrator=draw.integrator.build(),
            steps=draw.steps,
            grid=draw.grid,
            delta=self.options.delta,
            weights=_transform(draw.weights),
            autocast=self.options.autocast,
            shape=self.shape,
            device=self.device,
        )

    def experts(self, *, monolith: bool = False) -> tuple[Expert, ...]:
        """The experts, or the monolith as the only one; those with a network of their own are loaded on demand."""
        if monolith not in self._experts:
            only = (self.models.monolith,) if self.models.monolith else ()
            self._experts[monolith] = self._resident(only if monolith else self.models.experts)
        return self._experts[monolith]

    def router(self, name: str) -> Router:
        """A router by name."""
        if name not in self._routers:
            self._routers[name] = self.models.routers[name].load(self.device)
        return self._routers[name]

    def _resident(self, parts: Sequence[StoredExpert]) -> tuple[Expert, ...]:
        if parts and isinstance(parts[0], StoredMember):
            return self._shared(parts[0], len(parts))
        from mixvel_core.sampling.residency import ResidentExpert

        return tuple(
            ResidentExpert(
                schedule=self.schedule,
                moments=part.moments(self.device),
                load=partial(self._load, part),
                residency=self._residency,
            )
            for part in parts
        )

    def _shared(self, first: StoredMember, count: int) -> tuple[Expert, ...]:
        """Experts that are one network: it is loaded and tuned once, and there is room for it."""
        from mixvel_core.protocols import NetworkGroup
        from mixvel_core.sampling.dispatch import members
        from mixvel_core.sampling.snr_matched import all_snr_matched

        group = first.load_group(self.device)
        if isinstance(group, NetworkGroup) and (self.options.channels_last or self.options.compile):
            group = group.tuned(channels_last=self.options.channels_last, compiled=self.options.compile)
        return tuple(all_snr_matched(members(group, count), self.schedule))

    def _load(self, part: StoredExpert) -> Expert:
        from mixvel_core.protocols import NetworkExpert
        from mixvel_core.sampling.snr_matched import snr_matched

        expert = part.load(self.device)
        if isinstance(expert, NetworkExpert) and (self.options.channels_last or self.options.compile):
            expert = expert.tuned(channels_last=self.options.channels_last, compiled=self.options.compile)
        # Here and not by the sampler: the schedule of an expert that is not loaded yet is not known there.
        return snr_matched(expert, self.schedule)
