"""`mixvel study` and `mixvel theory`: a measurement of a run as it is, or of a recipe whose models are made first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias, TypeVar

from mixvel_core.artifacts.lock import locked
from mixvel_core.pipeline.discard import check_kept
from mixvel_core.pipeline.models import model_stages
from mixvel_core.pipeline.opened import Run, open_run
from mixvel_core.pipeline.run import RunResult
from mixvel_core.pipeline.run_folder import check_folder
from mixvel_core.plugin.discovery import Registry, load_registry
from mixvel_core.protocols import Progress
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.resolve import load_recipe

Found = TypeVar("Found")

Measure: TypeAlias = Callable[[Run, Registry, Path, Progress], Found]
"""``analysis.study.study`` or ``analysis.theory_report.theory_report``: measures a run, writes its file to a folder."""


def measure_run(
    measure: Measure[Found], folder: Path, overrides: Sequence[str], *, out: Path | None = None, progress: Progress
) -> Found:
    """Measures a run folder, and keeps what is made on the way in it. Nothing is trained.

    Args:
        overrides: of the parts of its recipe that say how to sample and what to measure.
        out: where the result goes; the run itself if None, and then its report shows it.

    Raises:
        UsageError: there is no run, its models are not all made, or there is nothing in it to measure.
        RecipeError: an override is wrong.
    """
    run = open_run(folder, overrides)
    with locked(folder):
        found = measure(run, load_registry(), out or folder, progress)
        if out is None or out.absolute() == folder.absolute():
            _renew_report(folder, progress)
    return found


def measure_recipe(measure: Measure[Found], recipe: Recipe, folder: Path, *, progress: Progress) -> Found:
    """Measures a recipe, whose data, experts and routers are made first where they are not there.

    Args:
        recipe: of the models, and of what to measure.
        folder: its run folder, made if absent. A run of any recipe of the same models will do.

    Raises:
        UsageError: the folder has models of another recipe or holds something that is no run, and nothing is changed;
            or there is nothing to measure.
    """
    with locked(folder):
        check_folder(folder)
        check_kept(recipe, folder)
        making = RunResult(recipe=recipe, folder=folder, progress=progress)
        shards = making.partition()
        stages = model_stages(recipe, folder, shards)
        making.train(stages, "sample")
        run = Run(folder=folder, recipe=recipe, shards=shards, models=stages.models)
        found = measure(run, load_registry(), folder, progress)
        _renew_report(folder, progress)
    return found


def _renew_report(folder: Path, progress: Progress) -> None:
    """Writes the report again, with what was measured since.

    A run without a report is left without: its samples would have to be drawn.
    """
    own = folder / "recipe.yaml"
    if not (folder / "report" / "done.json").exists():
        progress.line(f"report: there is none to show what was measured; `mixvel run {own} --out {folder}` makes it")
        return
    # The run's own recipe, not an override of it: all but the report is done, and stays.
    run = RunResult(recipe=load_recipe(own, [], load_registry()), folder=folder, progress=progress)
    run.until(run.partition(), "report")
