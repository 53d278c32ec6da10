"""The stage itself. What it takes to draw is imported when there is something to draw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import asdict, frozen

from mixvel_core.files import write_json, write_text
from mixvel_core.protocols import Progress
from mixvel_core.recipe.dump import plain
from mixvel_core.recipe.model import Recipe
from mixvel_core.stages.certified import read_certificate
from mixvel_core.stages.evaluate import Scores
from mixvel_core.stages.sample import StoredSamples
from mixvel_core.stages.shards import Shards
from mixvel_core.stages.studied import read_study
from mixvel_core.stages.unit import Unit, key_of, tell_damage


@frozen(kw_only=True)
class Report:
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
) -> Report:
    """Writes ``report/index.html`` and ``report/report.json``, unless they are there.

    The same inputs give the same bytes, but for the seconds that sampling took, which stand apart: in the page's
    last section and under ``timings``.

    Args:
        recipe: what was asked for.
        shards: of the partition stage.
        samples: of the sample stage, in the order of the table.
        scores: of the evaluate stage.
        folder: of the run; the losses of its trainings, its study and its theory are read, ``report/`` is written.
        progress: a bar over the sections.

    Raises:
        ArtifactError: a file of the run is damaged.
    """
    found, certificate = read_study(folder), read_certificate(folder)
    unit = Unit(
        folder=folder / "report",
        key=key_of(
            recipe=plain(recipe),
            shards=shards.key,
            samples=[s.unit.key for s in samples],
            scores=asdict(scores),
            study=asdict(found) if found else None,
            theory=asdict(certificate) if certificate else None,
        ),
    )
    made = Report(path=unit.folder / "index.html", json_path=unit.folder / "report.json")
    if not unit.is_done():
        tell_damage([unit.damage()], progress)
        from mixvel_core.stages.report.inputs import Inputs
        from mixvel_core.stages.report.numbers import numbers
        from mixvel_core.stages.report.page import page

        inputs = Inputs(
            recipe=recipe,
            shards=shards,
            samples=tuple(samples),
            scores=scores,
            folder=folder,
            study=found,
            theory=certificate,
        )
        write_text(made.path, page(inputs, progress))
        write_json(made.json_path, numbers(inputs))
        unit.close([made.path.name, made.json_path.name])
        progress.line(f"report: {made.path}")
    return made
