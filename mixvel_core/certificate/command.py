"""What ``mixvel theory`` does: with a run as it is, or with a recipe, whose models are made first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mixvel_core.certificate.stage import certify
from mixvel_core.finished import Finished, open_finished
from mixvel_core.pipeline import Run
from mixvel_core.plugin.registry import load_registry
from mixvel_core.protocols import Progress
from mixvel_core.recipe.model import Recipe
from mixvel_core.stages.certified import Certificate
from mixvel_core.stages.folder import check_folder
from mixvel_core.stages.lock import locked
from mixvel_core.stages.models import model_stages
from mixvel_core.study.command import renew_report


def certify_run(folder: Path, overrides: Sequence[str], *, out: Path | None = None, progress: Progress) -> Certificate:
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
    finished = open_finished(folder, overrides)
    with locked(folder):
        made = certify(finished, load_registry(), out or folder, progress)
        if out is None or out.absolute() == folder.absolute():
            renew_report(folder, progress)
    return made


def certify_recipe(recipe: Recipe, folder: Path, *, progress: Progress) -> Certificate:
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
        run = Run(recipe=recipe, folder=folder, progress=progress)
        shards = run.partition()
        makers = model_stages(recipe, folder, shards)
        run.train(makers, "sample")
        finished = Finished(folder=folder, recipe=recipe, shards=shards, models=makers.models)
        made = certify(finished, load_registry(), folder, progress)
        renew_report(folder, progress)
    return made
