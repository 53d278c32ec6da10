"""A recipe file, its toy size and overrides to a Recipe, or to one error that carries every problem."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attrs import evolve

from mixvel_core.errors import RecipeError
from mixvel_core.machine import from_home
from mixvel_core.plugin.discovery import Registry, load_registry
from mixvel_core.recipe.guided import guidance_problems
from mixvel_core.recipe.latents import with_latents
from mixvel_core.recipe.levels import at_levels
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.overrides import with_overrides
from mixvel_core.recipe.problems import ProblemsFound, RecipeProblem, Tree, base_problems, cross_problems, report
from mixvel_core.recipe.sections import at_full_size, at_toy_size, is_smoke, with_training
from mixvel_core.recipe.sizes import at_size
from mixvel_core.recipe.structure import structure
from mixvel_core.recipe.text import parse


def load_recipe(
    path: Path | str,
    overrides: Sequence[str] = (),
    registry: Registry | None = None,
    *,
    smoke: bool = False,
    size: str | None = None,
) -> Recipe:
    """The recipe in a file, checked, with every option.

    Args:
        path: a YAML file.
        overrides: ``key.path=value``, set in order.
        registry: the plugins it may name; everything installed if absent.
        smoke: at toy size.
        size: at one of the sizes of the recipe's section `sizes`.

    Raises:
        RecipeError: with a line for every problem, of the form ``FILE:LINE  key.path  what is wrong`` (exit code 3
            instead of 2 where all of them are plugins that cannot be had).
    """
    return resolve(read_recipe(from_home(path)), overrides, registry or load_registry(), smoke=smoke, size=size)


def read_recipe(path: Path) -> Tree:
    """The tree of a recipe file, not checked yet. Raises RecipeError where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such file; `mixvel recipes` lists the recipes that come with mixvel") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: not UTF-8 text; a recipe is a YAML file") from None
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    return parse(text, str(path))


def resolve(
    tree: Tree, overrides: Sequence[str], registry: Registry, *, smoke: bool = False, size: str | None = None
) -> Recipe:
    """The recipe in a tree, with overrides set. Raises RecipeError as ``load_recipe`` does."""
    if not tree.readable:
        raise report(tree, tree.problems)
    tree = at_size(tree, size)
    if smoke and not is_smoke(tree):
        tree = at_toy_size(tree, overrides, registry)
    else:
        tree = with_training(with_overrides(at_full_size(tree), overrides), registry)
    tree = with_latents(tree, registry)
    if tree.value is None:
        empty = RecipeProblem(path=(), message="holds nothing; a recipe starts with `name:`")
        raise report(tree, [*tree.problems, empty])
    problems = list(tree.problems)
    recipe: Recipe | None = None
    try:
        recipe = structure(tree.value, Recipe, registry)
    except ProblemsFound as found:
        problems += found.problems
    problems += cross_problems(tree.value)
    problems += [] if recipe is None else [*guidance_problems(recipe), *base_problems(recipe)]
    if recipe is None or problems:
        raise report(tree, _once(problems))
    routers = {name: router.beside(recipe.expert) for name, router in recipe.routers.items()}
    try:
        return at_levels(evolve(recipe, routers=routers))
    except ProblemsFound as found:
        raise report(tree, found.problems) from None


def _once(problems: Sequence[RecipeProblem]) -> list[RecipeProblem]:
    """Without a second problem at the place of a first one: what could not be read is not also of a wrong type."""
    first = {problem.path: problem for problem in reversed(problems)}
    return [problem for problem in problems if problem is first[problem.path] or not problem.path]
