"""What it takes to get the same numbers again: seeds, versions, and the recipe with every option written out."""

from __future__ import annotations

import platform
from importlib.metadata import version

from attrs import frozen

from mixvel_core.plugin.loader import installed
from mixvel_core.recipe.dump import dump
from mixvel_core.recipe.model import Recipe
from mixvel_core.stages.report.inputs import Inputs
from mixvel_core.stages.report.section import Section


@frozen(kw_only=True)
class OriginsContent:
    """Rows of two tables."""

    seeds: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]


def origins(inputs: Inputs) -> Section:
    """Seeds and versions."""
    run = inputs.recipe
    return Section(
        anchor="origins",
        title="Seeds and versions",
        stage="report",
        template="origins.html.jinja",
        content=OriginsContent(
            seeds=(
                ("seed", str(run.seed)),
                ("sample.seeds", ", ".join(map(str, run.sample.seeds))),
                ("evaluate.seed", str(run.evaluate.seed)),
            ),
            versions=tuple(versions().items()),
        ),
    )


def recipe(inputs: Inputs) -> Section:
    """The resolved recipe, which makes the same run again."""
    return Section(
        anchor="recipe",
        title="Recipe",
        stage="recipe",
        template="recipe.html.jinja",
        content=dump(inputs.recipe),
    )


def seeds(recipe: Recipe) -> dict[str, int | list[int]]:
    """Every root of random numbers."""
    return {"recipe": recipe.seed, "sample": list(recipe.sample.seeds), "evaluate": recipe.evaluate.seed}


def versions() -> dict[str, str]:
    """What the report was written with, and every other distribution that brings plugins."""
    plugins = {source.distribution: source.version for source in installed() if source.distribution != "mixvel"}
    return {
        "mixvel": version("mixvel"),
        **plugins,
        "torch": version("torch"),
        "numpy": version("numpy"),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
