"""Stage `sample`: experts and routers -> samples, for every method, step count and seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen

from mixvel_core.artifacts.arrays import read_arrays, write_arrays
from mixvel_core.artifacts.artifact import Artifact, key_of, report_damage
from mixvel_core.pipeline.experts import Experts, StoredExpert
from mixvel_core.pipeline.parts import SampleJob, forget, mapper_of, sample_in_parts
from mixvel_core.pipeline.routers import StoredRouter
from mixvel_core.pipeline.shared_experts import StoredMember
from mixvel_core.plugin.definition import IntegratorUse, LauncherUse, ScheduleUse, SelectorUse
from mixvel_core.protocols import Progress
from mixvel_core.recipe.dump import plain
from mixvel_core.recipe.model import Method, SampleOptions, WeightOptions

if TYPE_CHECKING:
    import torch

    from mixvel_core.protocols import Expert, Router
    from mixvel_core.sampling.sampler import Sampler, Samples


@frozen(kw_only=True)
class Models:
    """What can be sampled from: the upstream artifacts."""

    schedule: ScheduleUse
    experts: Experts
    monolith: Experts | None
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


@frozen(kw_only=True)
class StoredSamples:
    """The artifact of one draw: an NPZ file, and in its record the seconds it took."""

    draw: SampleSpec
    artifact: Artifact

    @property
    def path(self) -> Path:
        """The file of arrays ``x``, ``evaluations``, ``times`` and ``usage`` (see ``Samples``)."""
        return self.artifact.folder / f"{self.artifact.name}.npz"

    @property
    def seconds(self) -> float:
        """How long the sampling took."""
        return float(self.artifact.notes()["seconds"])

    def array(self, name: str) -> np.ndarray:
        """One of the arrays. Raises ArtifactError where the file is damaged."""
        return read_arrays(self.path, name)[0]


def sample_specs(options: SampleOptions, routers: Sequence[str]) -> Iterator[SampleSpec]:
    """Everything the recipe asks for, in the order of the table."""
    for name, method in options.methods.items():
        for steps in options.steps:
            for seed in options.seeds:
                yield SampleSpec(
                    method=name,
                    steps=steps,
                    seed=seed,
                    selector=method.selector or options.selector,
                    integrator=method.integrator or options.integrator,
                    router=_router_of(method, routers),
                    weights=method.weights or options.weights,
                )


def _router_of(method: Method, routers: Sequence[str]) -> str | None:
    """The router's name; None for the monolith."""
    return None if method.model == "monolith" else method.router or routers[0]


def sample_artifact(draw: SampleSpec, options: SampleOptions, models_key: str, folder: Path) -> Artifact:
    """The artifact of one draw. How many samples or experts are held at once is not in its key: no sample changes."""
    key = key_of(
        models=models_key,
        method=draw.method,
        steps=draw.steps,
        seed=draw.seed,
        selector=plain(draw.selector),
        integrator=plain(draw.integrator),
        router=draw.router,
        weights=plain(draw.weights),
        autocast=options.autocast,
        channels_last=options.channels_last,
        compile=options.compile,
        count=options.count,
        grid=options.grid,
        delta=options.delta,
    )
    return Artifact(folder=folder / draw.method, key=key, name=f"steps-{draw.steps}-seed-{draw.seed}")


def models_key(models: Models, router: str | None) -> str:
    """A digest of the networks that a draw uses."""
    if router is None:
        keys = models.monolith.keys if models.monolith else ()
        return key_of(schedule=plain(models.schedule), monolith=keys)
    return key_of(schedule=plain(models.schedule), experts=models.experts.keys, router=models.routers[router].key)


def sample(models: Models, options: SampleOptions, folder: Path, progress: Progress) -> tuple[StoredSamples, ...]:
    """Draws every sample that is not there yet.

    Args:
        models: experts, monolith and routers.
        options: the methods, step counts and seeds.
        folder: ``samples/`` of the run.
        progress: a bar for each method, in sample-steps.
    """
    stored = [
        StoredSamples(draw=draw, artifact=sample_artifact(draw, options, models_key(models, draw.router), folder))
        for draw in sample_specs(options, list(models.routers))
    ]
    todo = [s for s in stored if not s.artifact.is_done()]
    if todo:
        report_damage((s.artifact.first_damaged() for s in todo), progress)
        # Late: a run that has nothing to draw does not wait for torch.
        if options.launcher is not None:
            _sample_in_parts(todo, models, options, options.launcher, folder, progress)
            return tuple(stored)
        from mixvel_core.device import threads

        loaded = Loaded(models, options)
        with threads(options.threads):
            for one in todo:
                _sample_here(one, options, loaded, progress)
    return tuple(stored)


def _label(draw: SampleSpec, options: SampleOptions) -> str:
    return f"sample {draw.method} {draw.steps} steps" + (f" seed {draw.seed}" if len(options.seeds) > 1 else "")


def _sample_in_parts(
    todo: Sequence[StoredSamples],
    models: Models,
    options: SampleOptions,
    launcher: LauncherUse,
    folder: Path,
    progress: Progress,
) -> None:
    """All draws by the workers of one launch, each of which loads models once."""
    lots = [
        SampleJob(
            label=_label(one.draw, options),
            what=one.draw,
            count=options.count,
            steps=one.draw.steps,
            seed=one.draw.seed,
            artifact=one.artifact,
        )
        for one in todo
    ]
    source = ModelsSource(models=models, options=options, folder=folder.absolute().parent)
    for index, drawn in sample_in_parts(source, lots, mapper_of(launcher), options.batch, progress):
        one = todo[index]
        write_samples(one.path, drawn.samples)
        one.artifact.commit([one.path.name], seconds=drawn.seconds)
        forget(one.artifact)


def _sample_here(one: StoredSamples, options: SampleOptions, loaded: Loaded, progress: Progress) -> None:
    draw, artifact = one.draw, one.artifact
    sampler = loaded.sampler(draw)
    started = perf_counter()
    with progress.task(_label(draw, options), options.count * draw.steps, "image steps") as bar:
        samples = sampler.sample(
            count=options.count,
            shape=loaded.shape,
            seed=draw.seed,
            batch=options.batch,
            device=loaded.device,
            on_step=bar.update,
        )
        bar.update(options.count * draw.steps, f"{float(samples.evaluations.float().mean()):.4g} evaluations a sample")
    seconds = perf_counter() - started
    write_samples(one.path, samples)
    artifact.commit([one.path.name], seconds=seconds)


def write_samples(path: Path, samples: Samples) -> None:
    """The NPZ file of samples."""
    arrays = {
        "x": samples.x.float().cpu().numpy(),
        "evaluations": samples.evaluations.cpu().numpy(),
        "times": samples.times.numpy(),
        "usage": samples.usage.cpu().numpy(),
    }
    write_arrays(path, arrays)


@frozen(kw_only=True)
class ModelsSource:
    """A run's models, for workers to load. ``folder``: of the run."""

    models: Models
    options: SampleOptions
    folder: Path

    @property
    def threads(self) -> int | None:
        """Of torch."""
        return self.options.threads

    def open(self, device: torch.device) -> Loaded:
        """The models on a device."""
        return Loaded(self.models, self.options, device)


class Loaded:
    """Models in memory, each loaded once, when a method first needs it; experts within the room there is for them.

    ``device``: where they are; the best one here if None.
    """

    def __init__(self, models: Models, options: SampleOptions, device: torch.device | None = None) -> None:
        from mixvel_core.device import best_device

        self.models = models
        self.options = options
        self.device = device or best_device()
        self.schedule = models.schedule.build()
        self.shape = models.experts.parts[0].config.shape
        self._experts: dict[bool, tuple[Expert, ...]] = {}
        self._routers: dict[str, Router] = {}

    def sampler(self, draw: SampleSpec) -> Sampler:
        """The sampler of a draw."""
        from mixvel_core.sampling.routed_field import WeightTransform
        from mixvel_core.sampling.sampler import Sampler, SingleExpertRouter

        return Sampler(
            schedule=self.schedule,
            experts=self.experts(monolith=draw.router is None),
            router=SingleExpertRouter() if draw.router is None else self.router(draw.router),
            selector=draw.selector.build(),
            integrator=draw.integrator.build(),
            steps=draw.steps,
            grid=self.options.grid,
            delta=self.options.delta,
            weights=WeightTransform(temperature=draw.weights.temperature, floor=draw.weights.floor),
            autocast=self.options.autocast,
        )

    def experts(self, *, monolith: bool = False) -> tuple[Expert, ...]:
        """The experts, or the monolith alone."""
        if monolith not in self._experts:
            stored = self.models.monolith if monolith else self.models.experts
            self._experts[monolith] = self._resident(stored.parts if stored else ())
        return self._experts[monolith]

    def router(self, name: str) -> Router:
        """A router by name."""
        if name not in self._routers:
            self._routers[name] = self.models.routers[name].load(self.device)
        return self._routers[name]

    def _resident(self, parts: Sequence[StoredExpert]) -> tuple[Expert, ...]:
        if parts and isinstance(parts[0], StoredMember):
            return self._together(parts[0], len(parts))
        from mixvel_core.sampling.residency import Residency, ResidentExpert

        room = Residency(limit=self.options.resident_experts)
        return tuple(
            ResidentExpert(
                schedule=self.schedule,
                moments=part.moments(self.device),
                index=k,
                load=partial(self._load, part),
                residency=room,
            )
            for k, part in enumerate(parts)
        )

    def _together(self, first: StoredMember, count: int) -> tuple[Expert, ...]:
        """Experts that share a network: it is loaded and tuned once, and there is room for it."""
        from mixvel_core.protocols import NetworkGroup
        from mixvel_core.sampling.dispatch import members
        from mixvel_core.sampling.snr_matched import snr_matched

        group = first.group.load(self.device)
        if isinstance(group, NetworkGroup) and (self.options.channels_last or self.options.compile):
            group = group.tuned(channels_last=self.options.channels_last, compiled=self.options.compile)
        return tuple(snr_matched(expert, self.schedule) for expert in members(group, count))

    def _load(self, part: StoredExpert) -> Expert:
        from mixvel_core.protocols import NetworkExpert
        from mixvel_core.sampling.snr_matched import snr_matched

        expert = part.load(self.device)
        if isinstance(expert, NetworkExpert) and (self.options.channels_last or self.options.compile):
            expert = expert.tuned(channels_last=self.options.channels_last, compiled=self.options.compile)
        # Here and not by the sampler: an expert that is not loaded yet could not say what its schedule is.
        return snr_matched(expert, self.schedule)
