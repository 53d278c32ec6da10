"""Stage `report`: everything a run found, as one page that needs nothing else, and the same numbers as JSON.

What it takes to draw is imported when there is something to draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import asdict, frozen

from mixvel_core.analysis.records import read_study, read_theory_report
from mixvel_core.artifacts.artifact import Artifact, key_of, report_damage
from mixvel_core.artifacts.files import write_json, write_text
from mixvel_core.pipeline.evaluate import Scores
from mixvel_core.pipeline.sample import StoredSamples
from mixvel_core.pipeline.shards import Shards
from mixvel_core.protocols import Progress
from mixvel_core.recipe.dump import plain
from mixvel_core.recipe.model import Recipe


@frozen(kw_only=True)
class WrittenReport:
    """The artifact: ``path`` of the page, ``json_path`` of its numbers."""

    path: Path
    json_path: Path


def report(
    recipe: Recipe,
    shards: Shards,
    samples: Sequence[StoredSamples],
    scores: Scores,
    folder: Path,
    progress: Progress,
) -> WrittenReport:
    """Writes ``report/index.html`` and ``report/report.json``, unless they are there.

    The same inputs give the same bytes, but for the seconds that sampling took, which stand apart: in the page's
    last section and under ``timings``.

    Args:
        samples: in the order of the table.
        folder: of the run; the losses of its trainings, its study and its theory are read, ``report/`` is written.

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
            scores=asdict(scores),
            study=asdict(study) if study else None,
            theory=asdict(theory) if theory else None,
        ),
    )
    made = WrittenReport(path=artifact.folder / "index.html", json_path=artifact.folder / "report.json")
    if not artifact.is_done():
        report_damage([artifact.first_damaged()], progress)
        from mixvel_core.report.inputs import Inputs
        from mixvel_core.report.page import numbers, page

        inputs = Inputs(
            recipe=recipe,
            shards=shards,
            samples=tuple(samples),
            scores=scores,
            folder=folder,
            study=study,
            theory=theory,
        )
        write_text(made.path, page(inputs, progress))
        write_json(made.json_path, numbers(inputs))
        artifact.commit([made.path.name, made.json_path.name])
        progress.line(f"report: {made.path}")
    return made
