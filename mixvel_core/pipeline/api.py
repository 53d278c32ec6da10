"""``mixvel_core.run``: a recipe from data to report in one call."""

from __future__ import annotations

from pathlib import Path

from mixvel_core.errors import UsageError
from mixvel_core.pipeline.opened import Run, open_run
from mixvel_core.pipeline.run import run as run_stages
from mixvel_core.protocols.progress import Progress, Silent
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.resolve import load_recipe

_SILENT = Silent()


def run(
    recipe: Recipe | Path | str,
    *overrides: str,
    out: Path | str | None = None,
    smoke: bool = False,
    progress: Progress = _SILENT,
) -> Run:
    """Runs a recipe, or goes on where an earlier call stopped, as ``mixvel run`` does.

    Args:
        recipe: a YAML file, or what ``load_recipe`` made of one.
        overrides: ``key.path=value``, of a recipe that is a file.
        out: the run folder, made if absent; ``runs/NAME`` if None.
        smoke: at toy size; of a recipe that is a file.
        progress: shows how far it is; silent by default.

    Returns:
        The run, to sample from: ``run("recipes/mixture.yaml").sampler(steps=20).sample(64)``.

    Raises:
        MixvelError: the recipe is wrong, data or plugins are missing, or a stage failed.
    """
    if isinstance(recipe, Recipe) and (overrides or smoke):
        raise UsageError("overrides and smoke are of recipe files; pass them to load_recipe")
    checked = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, overrides, smoke=smoke)
    folder = Path("runs") / checked.name if out is None else Path(out)
    run_stages(checked, folder, progress=progress)
    return open_run(folder)
