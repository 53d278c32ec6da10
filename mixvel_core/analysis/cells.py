"""Cells: the samples of one curve at one step count, kept in ``study/`` of the run: what is done stays done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import evolve, frozen

from mixvel_core.analysis.settings import StudyCurve, StudySettings
from mixvel_core.artifacts.artifact import Artifact, key_of, report_damage
from mixvel_core.artifacts.files import read_arrays, write_arrays
from mixvel_core.pipeline.sample import Loaded, SampleSpec
from mixvel_core.protocols import Progress
from mixvel_core.recipe.dump import plain
from mixvel_core.recipe.model import SampleOptions

if TYPE_CHECKING:
    from mixvel_core.sampling.sampler import Sampler


def keep(artifact: Artifact, arrays: dict[str, np.ndarray], **notes: Any) -> None:
    """Writes ``NAME.npz`` and closes the artifact."""
    path = artifact.folder / f"{artifact.name}.npz"
    write_arrays(path, arrays)
    artifact.commit([path.name], **notes)


def kept(artifact: Artifact, *names: str) -> tuple[np.ndarray, ...] | None:
    """The arrays of an artifact; None where it is not done. Raises ArtifactError where the file is not what it says."""
    if not artifact.is_done():
        return None
    return read_arrays(artifact.folder / f"{artifact.name}.npz", *names)


@frozen(kw_only=True, eq=False)
class StudyCell:
    """``x``: where the samples end, (count, *data). ``evaluations``: expert calls of each, (count,)."""

    curve: StudyCurve
    steps: int
    x: np.ndarray
    evaluations: np.ndarray


def sampler_of(curve: StudyCurve, steps: int, setting: StudySettings, loaded: Loaded) -> Sampler:
    """The sampler of a cell: the sample stage's, on the curve's grid."""
    draw = SampleSpec(
        method="study",
        steps=steps,
        seed=setting.seed,
        selector=curve.selector,
        integrator=curve.integrator,
        router=setting.router,
        weights=loaded.options.weights,
    )
    return evolve(loaded.sampler(draw), grid=curve.grid)


def cells_of(
    setting: StudySettings, loaded: Loaded, models_key: str, folder: Path, progress: Progress
) -> tuple[StudyCell, ...]:
    """All cells, those that are not in ``folder`` made now; curve by curve, steps rising.

    Args:
        setting: curves and step counts.
        loaded: the models, and how the recipe has them run.
        models_key: a digest of the models.
        folder: ``study/`` of the run.
        progress: a bar in sample-steps over the whole study.
    """
    wanted = [(curve, steps) for curve in setting.curves for steps in setting.steps]
    artifacts = [_artifact(curve, steps, setting, loaded.options, models_key, folder) for curve, steps in wanted]
    # First what is there, so that the bar's speed is that of the work.
    there = [kept(artifact, "x", "evaluations") for artifact in artifacts]
    report_damage(
        (artifact.first_damaged() for artifact, found in zip(artifacts, there, strict=True) if found is None), progress
    )
    done = setting.count * sum(steps for (_, steps), found in zip(wanted, there, strict=True) if found is not None)
    total = setting.count * len(setting.curves) * sum(setting.steps)
    cells: list[StudyCell] = []
    with progress.task("study", total, "sample steps") as bar:
        bar.update(done)
        for (curve, steps), artifact, found in zip(wanted, artifacts, there, strict=True):
            if found is not None:
                x, evaluations = found
            else:
                note = " ".join([*curve.names.values(), str(steps)])

                def tell(passed: int, before: int = done, note: str = note) -> None:
                    bar.update(before + passed, note)

                x, evaluations = _made(curve, steps, setting, loaded, tell)
                keep(artifact, {"x": x, "evaluations": evaluations}, **curve.names, steps=steps)
                done += setting.count * steps
            cells.append(StudyCell(curve=curve, steps=steps, x=x, evaluations=evaluations))
    return tuple(cells)


def _artifact(
    curve: StudyCurve, steps: int, setting: StudySettings, options: SampleOptions, models_key: str, folder: Path
) -> Artifact:
    key = key_of(
        models=models_key,
        selector=plain(curve.selector),
        integrator=plain(curve.integrator),
        grid=curve.grid,
        steps=steps,
        count=setting.count,
        seed=setting.seed,
        delta=setting.delta,
        precision=setting.precision,
        weights=plain(options.weights),
        autocast=options.autocast,
        channels_last=options.channels_last,
        compile=options.compile,
    )
    return Artifact(folder=folder, key=key, name=key)


def _made(
    curve: StudyCurve,
    steps: int,
    setting: StudySettings,
    loaded: Loaded,
    tell: Callable[[int], None],
) -> tuple[np.ndarray, np.ndarray]:
    samples = sampler_of(curve, steps, setting, loaded).sample(
        count=setting.count,
        shape=loaded.shape,
        seed=setting.seed,
        batch=loaded.options.batch,
        dtype=setting.dtype,
        device=loaded.device,
        on_step=tell,
    )
    return samples.x.cpu().numpy(), samples.evaluations.cpu().numpy()
