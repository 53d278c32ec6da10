"""Stage `report`: everything a run found, as one page that needs nothing else, and the same numbers as JSON.

What it takes to draw is imported when there is something to draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import asdict, evolve, frozen

from mixvel_core.analysis.records import read_study, read_theory_report
from mixvel_core.artifacts.artifact import Artifact, key_of, report_damage
from mixvel_core.artifacts.files import write_json, write_text
from mixvel_core.cost.flops import ModelFlops
from mixvel_core.pipeline.loaded import Models
from mixvel_core.pipeline.sample import StoredSamples
from mixvel_core.pipeline.scores import Scores
from mixvel_core.pipeline.shards import Shards
from mixvel_core.protocols import Progress
from mixvel_core.recipe.dump import plain
from mixvel_core.recipe.model import Recipe

if TYPE_CHECKING:
    from mixvel_core.analysis.calibration import BucketCalibration


@frozen(kw_only=True)
class WrittenReport:
    """The artifact: ``path`` of the page, ``json_path`` of its numbers."""

    path: Path
    json_path: Path


def report(
    recipe: Recipe,
    shards: Shards,
    models: Models,
    samples: Sequence[StoredSamples],
    flops: ModelFlops,
    scores: Scores,
    folder: Path,
    progress: Progress,
    rows: Sequence[str] = (),
) -> WrittenReport:
    """Writes ``report/index.html`` and ``report/report.json``, unless they are there.

    The same inputs give the same bytes, but for the seconds that sampling took: in report.json they stand apart, under
    ``timings``.

    Args:
        models: what was sampled.
        samples: of the recipe, in the order of the table, and of earlier questions.
        flops: of the models.
        folder: of the run; the losses of its trainings, its study and its theory are read, ``report/`` is written,
            and ``calibration/`` and ``diagnostics/`` where they are not there.
        rows: the names of the samples' rows in the order of the tables; empty: the recipe's methods.

    Raises:
        ArtifactError: a file of the run is damaged.
    """
    study, theory = read_study(folder), read_theory_report(folder)
    artifact = Artifact(
        folder=folder / "report",
        key=key_of(
            recipe=plain(recipe),
            shards=shards.key,
            samples=[s.artifact.key for s in samples],
            scores=asdict(evolve(scores, timings=())),
            flops=flops.counts(),
            study=asdict(study) if study else None,
            theory=asdict(theory) if theory else None,
            **({"rows": list(rows)} if rows and list(rows) != list(recipe.sample.methods) else {}),
        ),
    )
    made = WrittenReport(path=artifact.folder / "index.html", json_path=artifact.folder / "report.json")
    if not artifact.is_done():
        report_damage([artifact.first_damaged()], progress)
        from mixvel_core.analysis.diagnostics import diagnose
        from mixvel_core.report.inputs import Inputs
        from mixvel_core.report.page import numbers, page

        inputs = Inputs(
            recipe=recipe,
            shards=shards,
            models=models,
            samples=tuple(samples),
            rows=tuple(rows),
            codec=None if shards.codec is None else shards.codec.load(),
            flops=flops,
            scores=scores,
            folder=folder,
            calibration=_calibration(recipe, shards, models, folder, progress),
            diagnostics=diagnose(recipe, shards, models, folder, progress),
            study=study,
            theory=theory,
        )
        write_text(made.path, page(inputs, progress))
        write_json(made.json_path, numbers(inputs))
        artifact.commit([made.path.name, made.json_path.name])
        progress.line(f"report: {made.path}")
    return made


def _calibration(
    recipe: Recipe, shards: Shards, models: Models, folder: Path, progress: Progress
) -> tuple[BucketCalibration, ...]:
    """Nothing with a single expert, about which there is nothing to be wrong, and where the items are not here."""
    from mixvel_core.analysis.calibration_stage import calibrate

    if len(shards.parts) < 2 or not shards.are_local:
        return ()
    points = recipe.report.calibration
    return calibrate(models.routers, recipe.schedule, shards, recipe.seed, folder, points, models.experts, progress)
