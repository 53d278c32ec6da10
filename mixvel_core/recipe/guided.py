"""What guidance and the conditions of samples need of the rest of a recipe."""

from __future__ import annotations

from collections.abc import Iterator

from mixvel_core.plugin.definition import GuidanceUse
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.problems import KeyPath, RecipeProblem


def guidances(recipe: Recipe) -> Iterator[tuple[KeyPath, GuidanceUse]]:
    """Every guidance that a recipe names, and where."""
    if recipe.sample.guidance is not None:
        yield ("sample", "guidance"), recipe.sample.guidance
    if recipe.study is not None and recipe.study.guidance is not None:
        yield ("study", "guidance"), recipe.study.guidance
    for name, method in recipe.sample.methods.items():
        if method.guidance is not None:
            yield ("sample", "methods", name, "guidance"), method.guidance


def guidance_problems(recipe: Recipe) -> Iterator[RecipeProblem]:
    """Guidance without a condition or without the model that it compares with, and conditions that nobody has."""
    # Without data the experts are there already, and know themselves which conditions they read.
    conditional = recipe.condition is not None or recipe.data is None
    if not conditional and recipe.sample.condition not in ("auto", None):
        message = "the recipe has no `condition` that says what it is of; write `condition: {class: labels}`"
        yield RecipeProblem(path=("sample", "condition"), message=message)
    for path, use in guidances(recipe):
        if not conditional:
            message = f"{use.name} leads to a condition, and the recipe has none; write `condition: {{class: labels}}`"
            yield RecipeProblem(path=path, message=message)
        elif recipe.sample.condition is None and "methods" not in path:
            message = f"{use.name} leads to a condition, and `sample.condition` is null; remove one of the two"
            yield RecipeProblem(path=path, message=message)
        if use.by_weaker and recipe.monolith is None:
            message = f"{use.name} compares with the monolith, and the recipe makes none; add `monolith`, or take cfg"
            yield RecipeProblem(path=path, message=message)
    for name, method in recipe.sample.methods.items():
        if method.model == "monolith" and method.guidance is not None and method.guidance.by_weaker:
            message = "has no effect: the monolith is what this guidance compares with; remove it"
            yield RecipeProblem(path=("sample", "methods", name, "guidance"), message=message)
