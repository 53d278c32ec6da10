"""What ``mixvel study`` and ``mixvel theory`` do: with a run as it is, or with a recipe that is run first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mixvel_core.analysis.records import StudyResult, TheoryReport
from mixvel_core.analysis.study import study
from mixvel_core.analysis.theory_report import measure_theory
from mixvel_core.artifacts.lock import locked
from mixvel_core.pipeline.models import model_stages
from mixvel_core.pipeline.opened import Run, open_run
from mixvel_core.pipeline.run import RunResult
from mixvel_core.pipeline.run_folder import check_folder
from mixvel_core.plugin.discovery import load_registry
from mixvel_core.protocols import Progress
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.resolve import load_recipe


def study_run(folder: Path, overrides: Sequence[str], *, out: Path | None = None, progress: Progress) -> StudyResult:
    """A study of a run folder. Nothing is trained.

    Args:
        folder: the run; references and samples are kept in it.
        overrides: of the parts of its recipe that say how to sample and to study.
        out: where ``study.json`` goes; the run itself if None, and then its report shows it.
        progress: bars.

    Raises:
        UsageError: there is no run, or its models are not all made.
        RecipeError: an override is wrong.
    """
    finished = open_run(folder, overrides)
    with locked(folder):
        made = study(finished, load_registry(), out or folder, progress)
        if out is None or out.absolute() == folder.absolute():
            renew_report(folder, progress)
    return made


def study_recipe(recipe: Recipe, folder: Path, *, progress: Progress) -> StudyResult:
    """A study of a recipe; what it needs of data, experts and routers is made first, where it is not there.

    Args:
        recipe: what to study.
        folder: its run folder, made if absent. A run of a recipe that differs in ``study`` alone will do.
        progress: bars.

    Raises:
        UsageError: the folder belongs to another recipe, or holds something that is no run; nothing is changed.
    """
    with locked(folder):
        check_folder(recipe, folder, fresh=False)
        run = RunResult(recipe=recipe, folder=folder, progress=progress)
        shards = run.partition()
        makers = model_stages(recipe, folder, shards)
        run.train(makers, "sample")
        finished = Run(folder=folder, recipe=recipe, shards=shards, models=makers.models)
        made = study(finished, load_registry(), folder, progress)
        renew_report(folder, progress)
    return made


def renew_report(folder: Path, progress: Progress) -> None:
    """Has what was measured since shown by the report.

    A run without a report is left without: its samples would have to be drawn.
    """
    own = folder / "recipe.yaml"
    if not (folder / "report" / "done.json").exists():
        progress.line(f"report: there is none to show what was measured; `mixvel run {own} --out {folder}` makes it")
        return
    # The run's own recipe, not an override of it: all but the report is done, and stays.
    run = RunResult(recipe=load_recipe(own, [], load_registry()), folder=folder, progress=progress)
    run.until(run.partition(), "report")


def theory_of_run(
    folder: Path, overrides: Sequence[str], *, out: Path | None = None, progress: Progress
) -> TheoryReport:
    """The certificate of a run folder. Nothing is trained.

    Args:
        folder: the run.
        overrides: of the parts of its recipe that say how to sample and what to measure.
        out: where ``theory.json`` goes; the run itself if None, and then its report shows it.
        progress: bars.

    Raises:
        UsageError: there is no run, its models are not all made, or the theory says nothing of it.
        RecipeError: an override is wrong.
    """
    finished = open_run(folder, overrides)
    with locked(folder):
        made = measure_theory(finished, load_registry(), out or folder, progress)
        if out is None or out.absolute() == folder.absolute():
            renew_report(folder, progress)
    return made


def theory_of_recipe(recipe: Recipe, folder: Path, *, progress: Progress) -> TheoryReport:
    """The certificate of a recipe; what it needs of data, experts and routers is made first, where it is not there.

    Args:
        recipe: what to certify.
        folder: its run folder, made if absent. A run of a recipe that differs in ``theory`` alone will do.
        progress: bars.

    Raises:
        UsageError: the folder belongs to another recipe, or the theory says nothing of this one.
    """
    with locked(folder):
        check_folder(recipe, folder, fresh=False)
        run = RunResult(recipe=recipe, folder=folder, progress=progress)
        shards = run.partition()
        makers = model_stages(recipe, folder, shards)
        run.train(makers, "sample")
        finished = Run(folder=folder, recipe=recipe, shards=shards, models=makers.models)
        made = measure_theory(finished, load_registry(), folder, progress)
        renew_report(folder, progress)
    return made
