"""Cells: the samples of one curve at one step count, kept in ``study/`` of the run, so that each is made once."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import asdict, frozen

from mixvel_core.analysis.settings import Curve, Settings, StudySettings
from mixvel_core.artifacts.arrays import read_arrays, write_arrays
from mixvel_core.artifacts.artifact import Artifact, key_of, report_damage
from mixvel_core.pipeline.loaded import Loaded
from mixvel_core.pipeline.sample_specs import SampleSpec
from mixvel_core.protocols import Progress
from mixvel_core.recipe.dump import keyed
from mixvel_core.recipe.grids import grid_name
from mixvel_core.recipe.model import SampleOptions

if TYPE_CHECKING:
    from mixvel_core.protocols import Condition
    from mixvel_core.sampling.sampler import Sampler


def write_kept(artifact: Artifact, arrays: dict[str, np.ndarray], **notes: Any) -> None:
    """Writes the arrays of an artifact to ``NAME.npz`` and commits it with these notes."""
    path = artifact.folder / f"{artifact.name}.npz"
    write_arrays(path, arrays)
    artifact.commit([path.name], **notes)


def read_kept(artifact: Artifact, *names: str) -> tuple[np.ndarray, ...] | None:
    """The arrays of an artifact; None where it is not done. Raises ArtifactError where the file is not what it says."""
    if not artifact.is_done():
        return None
    return read_arrays(artifact.folder / f"{artifact.name}.npz", *names)


ARRAYS = ("x", "evaluations", "usage")
"""Of samples, what is kept."""


@frozen(kw_only=True, eq=False)
class StudyCell:
    """``x``: where the samples end, (count, *data). ``evaluations``: expert calls of each, (count,). ``usage``: of each
    call of the field, the share of samples that evaluated each expert, (calls, K). ``seconds``: of one sample.
    """

    curve: Curve
    steps: int
    x: np.ndarray
    evaluations: np.ndarray
    usage: np.ndarray
    seconds: float


def condition_of_samples(settings: Settings, loaded: Loaded, count: int) -> Condition | None:
    """The condition of samples 0 to ``count`` - 1 of a study; None where they have none."""
    return loaded.models.condition(_spec(settings.curves[0], 1, settings, loaded), count)


def sampler_of(curve: Curve, steps: int, settings: Settings, loaded: Loaded) -> Sampler:
    """The sample stage's sampler of a run, with the selector, integrator and grid of a curve."""
    return loaded.sampler(_spec(curve, steps, settings, loaded))


def _spec(curve: Curve, steps: int, settings: Settings, loaded: Loaded) -> SampleSpec:
    return SampleSpec(
        method="study",
        steps=steps,
        seed=settings.seed,
        selector=curve.selector,
        integrator=curve.integrator,
        router=settings.router,
        weights=loaded.options.weights,
        grid=curve.grid,
        guidance=settings.guidance,
        condition=settings.condition,
    )


def cells_of(
    settings: StudySettings, loaded: Loaded, models_key: str, folder: Path, progress: Progress
) -> tuple[StudyCell, ...]:
    """All cells, those that are not in ``folder``, ``study/`` of the run, made now; curve by curve, steps rising."""
    wanted = [(curve, steps) for curve in settings.curves for steps in settings.steps]
    artifacts = [_artifact(curve, steps, settings, loaded.options, models_key, folder) for curve, steps in wanted]
    # First what is there, so that the bar's speed is that of the work.
    there = [read_kept(artifact, *ARRAYS) for artifact in artifacts]
    missing = [artifact for artifact, found in zip(artifacts, there, strict=True) if found is None]
    report_damage((artifact.first_damaged() for artifact in missing), progress)
    done = settings.count * sum(steps for (_, steps), found in zip(wanted, there, strict=True) if found is not None)
    total = settings.count * len(settings.curves) * sum(settings.steps)
    cells: list[StudyCell] = []
    condition = condition_of_samples(settings, loaded, settings.count)
    with progress.task("study", total, "sample steps") as bar:
        bar.update(done)
        for (curve, steps), artifact, found in zip(wanted, artifacts, there, strict=True):
            if found is None:
                names = {**curve.names, "grid": grid_name(curve.grid)}
                note = " ".join([*names.values(), str(steps)])

                def on_step(passed: int, before: int = done, note: str = note) -> None:
                    bar.update(before + passed, note)

                sampler = sampler_of(curve, steps, settings, loaded)
                started = perf_counter()
                samples = sampler.sample(
                    count=settings.count,
                    condition=condition if sampler.reads else None,
                    shape=loaded.shape,
                    seed=settings.seed,
                    batch=loaded.options.batch,
                    dtype=settings.dtype,
                    device=loaded.device,
                    on_step=on_step,
                ).cpu()
                seconds = (perf_counter() - started) / settings.count
                kept = {name: value.numpy() for name, value in asdict(samples, recurse=False).items() if name in ARRAYS}
                write_kept(artifact, kept, **names, steps=steps, seconds=seconds)
                found = tuple(kept[name] for name in ARRAYS)
                done += settings.count * steps
            x, evaluations, usage = found
            seconds = float(artifact.notes()["seconds"])
            cells.append(
                StudyCell(curve=curve, steps=steps, x=x, evaluations=evaluations, usage=usage, seconds=seconds)
            )
    return tuple(cells)


def _artifact(
    curve: Curve, steps: int, settings: StudySettings, options: SampleOptions, models_key: str, folder: Path
) -> Artifact:
    key = key_of(
        models=models_key,
        selector=keyed(curve.selector),
        integrator=keyed(curve.integrator),
        grid=keyed(curve.grid),
        steps=steps,
        count=settings.count,
        seed=settings.seed,
        delta=settings.delta,
        precision=settings.precision,
        weights=keyed(options.weights),
        autocast=options.autocast,
        channels_last=options.channels_last,
        compile=options.compile,
        arrays=ARRAYS,
        **settings.given(),
    )
    return Artifact(folder=folder, key=key, name=key)
