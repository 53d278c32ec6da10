"""Stage `sample`: experts and routers -> samples, for every method, step count and seed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from attrs import asdict, frozen

from mixvel_core.artifacts.arrays import read_arrays
from mixvel_core.artifacts.artifact import Artifact, report_damage
from mixvel_core.pipeline.loaded import Loaded, Models, models_key
from mixvel_core.pipeline.parts import (
    ModelSource,
    SampleJob,
    SamplingTime,
    forget_parts,
    mapper_of,
    sample_jobs,
    sampling_time,
)
from mixvel_core.pipeline.sample_files import CONDITION, conditions_in, write_samples
from mixvel_core.pipeline.sample_specs import SampleSpec, sample_artifact, sample_specs
from mixvel_core.protocols import Progress
from mixvel_core.recipe.model import SampleOptions

if TYPE_CHECKING:
    import torch

    from mixvel_core.protocols import Condition
    from mixvel_core.sampling.sampler import Sampler


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

    def conditions(self) -> dict[str, np.ndarray]:
        """The condition of each sample, by name; empty where they have none. Raises ArtifactError as ``array`` does."""
        return {name: self.array(CONDITION + name) for name in conditions_in(self.path)}


def stored_samples(models: Models, options: SampleOptions, folder: Path) -> tuple[StoredSamples, ...]:
    """Every row, column and seed of the table, made or to be made, in ``samples/`` of a run, ``folder``."""
    return tuple(
        StoredSamples(
            draw=draw,
            artifact=sample_artifact(draw, options, models_key(models, draw.router, by_weaker=draw.by_weaker), folder),
            count=options.count,
            delta=options.delta,
        )
        for draw in sample_specs(options, list(models.routers), models.conditions)
    )


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
        jobs = [
            sample_job(
                _label(one.draw, options),
                one.draw,
                options.count,
                one.artifact,
                models.condition(one.draw, options.count),
            )
            for one in todo
        ]
        source = model_source(models, options, folder.parent)
        for index, sampled in sample_jobs(source, jobs, mapper_of(options.launcher), options.batch, progress):
            one = todo[index]
            write_samples(one.path, sampled.samples)
            one.artifact.commit([one.path.name], **asdict(sampled.time))
            forget_parts(one.artifact)
    return stored


def sample_job(
    label: str, draw: SampleSpec, count: int, artifact: Artifact | None, condition: Condition | None
) -> SampleJob[SampleSpec]:
    """The job that samples ``count`` by one row and column of the table, under a condition of as many rows."""
    return SampleJob(
        label=label,
        spec=draw,
        count=count,
        steps=draw.steps,
        seed=draw.seed,
        artifact=artifact,
        condition=condition,
    )


def _label(draw: SampleSpec, options: SampleOptions) -> str:
    return f"sample {draw.method} {draw.steps} steps" + (f" seed {draw.seed}" if len(options.seeds) > 1 else "")


def model_source(models: Models, options: SampleOptions, run: Path) -> ModelSource[SampleSpec]:
    """The models of the run folder ``run``, for workers to load."""
    return ModelSource(folder=run.absolute(), threads=options.threads, open=partial(_open, models, options))


def _open(models: Models, options: SampleOptions, device: torch.device) -> Callable[[SampleSpec], Sampler]:
    return Loaded(models, options, device).sampler
