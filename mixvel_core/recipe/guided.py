"""What guidance and the conditions of samples need of the rest of a recipe."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import fields

from mixvel_core.plugin.definition import ExpertUse, GuidanceUse
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.problems import KeyPath, RecipeProblem
from mixvel_core.training.options import TrainOptions


def guidances(recipe: Recipe) -> Iterator[tuple[KeyPath, GuidanceUse]]:
    """Every guidance that a recipe names, and where; `none` is none."""
    study = None if recipe.study is None else recipe.study.guidance
    named: list[tuple[KeyPath, GuidanceUse | None]] = [
        (("sample", "guidance"), recipe.sample.guidance),
        (("study", "guidance"), study),
        *((("sample", "methods", name, "guidance"), method.guidance) for name, method in recipe.sample.methods.items()),
    ]
    yield from ((path, use) for path, use in named if use is not None and use.definition.leads)


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
        if not use.by_weaker and recipe.condition is not None and _knows_no_null(_guided(recipe, path)):
            message = (
                f"{use.name} compares with the estimate without a condition, and nothing is learned of it where "
                "`train.condition_dropout` is 0; set it above 0, or take autoguidance"
            )
            yield RecipeProblem(path=path, message=message)
    for name, method in recipe.sample.methods.items():
        if method.model == "monolith" and method.guidance is not None and method.guidance.by_weaker:
            message = "has no effect: the monolith is what this guidance compares with; remove it"
            yield RecipeProblem(path=("sample", "methods", name, "guidance"), message=message)


def _guided(recipe: Recipe, path: KeyPath) -> ExpertUse | None:
    """Whose estimates the guidance at ``path`` combines: the experts', or of rows of the monolith the monolith's."""
    method = recipe.sample.methods[str(path[2])] if "methods" in path else None
    return recipe.expert if method is None or method.model == "experts" else recipe.monolith


def _knows_no_null(use: ExpertUse | None) -> bool:
    """Whether a network is trained here and never shown a point without its condition."""
    values = () if use is None else (getattr(use.options, one.name) for one in fields(type(use.options)))
    return any(isinstance(value, TrainOptions) and value.condition_dropout == 0 for value in values)
