"""A recipe file, its toy size and overrides to a Recipe, or to one error that carries every problem.

    smoke:
      data: {use: procedural, like: cifar10}
      expert.train.steps: 20

Keys are paths, as on the command line; each value replaces what stands there. Elsewhere the section has no effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mixvel_core.errors import RecipeError
from mixvel_core.plugin.discovery import Registry
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.problems import (
    KeyPath,
    ProblemsFound,
    RecipeProblem,
    SourcePlace,
    Tree,
    cross_problems,
    dotted,
    report,
)
from mixvel_core.recipe.structure import structure
from mixvel_core.recipe.text import parse, put, with_overrides

SECTION = "smoke"
SUFFIX = "-smoke"


def at_full_size(tree: Tree) -> Tree:
    """The tree without its section `smoke`. `smoke: true`, as a run folder says it, stays."""
    if not isinstance(tree.value, dict) or not isinstance(tree.value.get(SECTION), dict):
        return tree
    return _without(tree)


def at_toy_size(tree: Tree) -> Tree:
    """The tree with what its section `smoke` sets, and marked: `smoke: true`, the name ending in -smoke."""
    if not isinstance(tree.value, dict):
        return tree
    section = tree.value.get(SECTION)
    if section is True:
        return tree
    if not isinstance(section, dict) or not section:
        message = "is missing, so there is nothing to make it small by; it holds key.path: value lines"
        return _with_problem(tree, RecipeProblem(path=(SECTION,), message=message))
    small = _without(tree)
    for key in section:
        path = (SECTION, key)
        new = Tree(value=section[key], places=_below(tree, path))
        try:
            small = put(small, tuple(str(key).split(".")), new)
        except ValueError as error:
            problem = RecipeProblem(path=(dotted((str(key),)),), message=str(error), place=tree.place(path))
            small = _with_problem(small, problem)
    name = small.value.get("name")
    marked = {**small.value, SECTION: True}
    if isinstance(name, str) and not name.endswith(SUFFIX):
        marked["name"] = name + SUFFIX
    return Tree(value=marked, places=small.places, problems=small.problems)


def _without(tree: Tree) -> Tree:
    value = {key: part for key, part in tree.value.items() if key != SECTION}
    places = {path: place for path, place in tree.places.items() if path[:1] != (SECTION,)}
    return Tree(value=value, places=places, problems=tree.problems)


def _below(tree: Tree, above: KeyPath) -> dict[KeyPath, SourcePlace]:
    return {path[len(above) :]: place for path, place in tree.places.items() if path[: len(above)] == above}


def _with_problem(tree: Tree, problem: RecipeProblem) -> Tree:
    return Tree(value=tree.value, places=tree.places, problems=(*tree.problems, problem))


def load_recipe(path: Path, overrides: Sequence[str], registry: Registry, *, smoke: bool = False) -> Recipe:
    """The recipe in a file, at toy size if ``smoke``, with overrides ``key.path=value`` set.

    Raises RecipeError with a line for every problem, of the form ``FILE:LINE  key.path  what is wrong``
    (exit code 3 instead of 2 where all of them are plugins that cannot be had).
    """
    return resolve(read_recipe(path), overrides, registry, smoke=smoke)


def read_recipe(path: Path) -> Tree:
    """The tree of a recipe file, not checked yet. Raises RecipeError where there is no such file."""
    return parse(_read(path), str(path))


def resolve(tree: Tree, overrides: Sequence[str], registry: Registry, *, smoke: bool = False) -> Recipe:
    """The recipe in a tree, with overrides set. Raises RecipeError as ``load_recipe`` does."""
    if not tree.readable:
        raise report(tree, tree.problems)
    tree = at_toy_size(tree) if smoke else at_full_size(tree)
    tree = with_overrides(tree, overrides)
    if tree.value is None:
        raise report(
            tree, [*tree.problems, RecipeProblem(path=(), message="holds nothing; a recipe starts with `name:`")]
        )
    problems = list(tree.problems)
    recipe: Recipe | None = None
    try:
        recipe = structure(tree.value, Recipe, registry)
    except ProblemsFound as found:
        problems += found.problems
    problems += cross_problems(tree.value)
    if recipe is None or problems:
        raise report(tree, _once(problems))
    return recipe


def _once(problems: Sequence[RecipeProblem]) -> list[RecipeProblem]:
    """Without a second problem at the place of a first one: what could not be read is not also of a wrong type."""
    first: dict[object, RecipeProblem] = {}
    for problem in problems:
        first.setdefault(problem.path, problem)
    return [problem for problem in problems if problem is first[problem.path] or not problem.path]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such file; `mixvel recipes` lists the recipes that come with mixvel") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: not UTF-8 text; a recipe is a YAML file") from None
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
