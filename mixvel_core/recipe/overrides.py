"""Values set in the tree of a recipe: overrides ``key.path=value``, and sections of ``key.path: value`` lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mixvel_core.recipe.problems import KeyPath, RecipeProblem, SourcePlace, Tree, dotted, shortened
from mixvel_core.recipe.text import parse


def with_overrides(tree: Tree, overrides: Sequence[str]) -> Tree:
    """The tree with every override set, in order. What is malformed is left out and kept as a problem.

    An option of a plugin that the recipe names alone may be set too: ``schedule: vp-cosine`` with
    ``schedule.shift=0.1`` is ``schedule: {use: vp-cosine, shift: 0.1}``. List entries are named by their index.
    """
    for order, override in enumerate(overrides, start=1):
        tree = _with_override(tree, override, order)
    return tree


def _with_override(tree: Tree, override: str, order: int) -> Tree:
    source = f"{shortened(override)} (command line)"
    place = SourcePlace(source=source, order=order)
    key, equals, text = override.partition("=")
    path = tuple(key.strip().split("."))
    if not equals or not all(path):
        message = "is no override; write key.path=value, for example seed=1"
        return with_problem(tree, RecipeProblem(path=(), message=message, place=place))
    new = parse(text, source, in_file=False, order=order)
    if not new.readable:
        return with_problem(tree, *new.problems)
    try:
        return put(tree, path, new)
    except ValueError as error:
        return with_problem(tree, RecipeProblem(path=path, message=str(error), place=place))


def put(tree: Tree, path: Sequence[str], new: Tree) -> Tree:
    """``tree`` with ``new`` at ``path``, whatever stood there. Raises ValueError where nothing can stand there."""
    value, at = _set(tree.value, path, new.value, ())
    problems = tuple(problem.below(*at) for problem in new.problems)
    return Tree(value=value, places=_places(tree, at, new), problems=(*tree.problems, *problems))


def _places(tree: Tree, at: KeyPath, new: Tree) -> dict[KeyPath, SourcePlace]:
    """Places after ``new`` was set ``at`` a path: sections that were made on the way are the override's too."""
    places = {path: place for path, place in tree.places.items() if path[: len(at)] != at}
    value = tree.value
    for length, key in enumerate(at):
        if length and not isinstance(value, (dict, list)):
            if isinstance(value, str):
                places[(*at[:length], "use")] = tree.place(at[:length])
            places[at[:length]] = new.places[()]
        value = _child(value, key)
    return places | {(*at, *path): place for path, place in new.places.items()}


def _child(value: Any, key: Any) -> Any:
    if isinstance(value, list):
        return value[key]
    return value.get(key) if isinstance(value, dict) else None


def with_values(tree: Tree, source: Tree, section: KeyPath) -> Tree:
    """``tree`` with every ``key.path: value`` line set that stands in ``section`` of ``source``, in order."""
    values = source.value
    for part in section:
        values = values[part]
    for key, value in values.items():
        path = (*section, key)
        try:
            tree = put(tree, key.split("."), Tree(value=value, places=below(source, path)))
        except ValueError as error:
            problem = RecipeProblem(path=(dotted((key,)),), message=str(error), place=source.place(path))
            tree = with_problem(tree, problem)
    return tree


def without(tree: Tree, section: str) -> Tree:
    """The tree without one of its sections."""
    value = {key: part for key, part in tree.value.items() if key != section}
    places = {path: place for path, place in tree.places.items() if path[:1] != (section,)}
    return Tree(value=value, places=places, problems=tree.problems)


def below(tree: Tree, above: KeyPath) -> dict[KeyPath, SourcePlace]:
    """The places of what stands below a path, by their paths from there."""
    return {path[len(above) :]: place for path, place in tree.places.items() if path[: len(above)] == above}


def with_problem(tree: Tree, *problems: RecipeProblem) -> Tree:
    """The tree with further problems."""
    return Tree(value=tree.value, places=tree.places, problems=(*tree.problems, *problems))


def _set(value: Any, path: Sequence[str], new: Any, above: KeyPath) -> tuple[Any, KeyPath]:
    """A copy of ``value`` with ``new`` at ``path``, and that path with list indices as integers."""
    if not path:
        return new, above
    head, *rest = path
    if isinstance(value, list):
        index = int(head) if head.isascii() and head.isdigit() and len(head) < 9 else len(value)
        if index >= len(value):
            where = f"`{dotted(above)}` is a list of {len(value)}"
            raise ValueError(f"{shortened(head)!r} is no entry of it: {where}, counted from 0")
        changed, at = _set(value[index], rest, new, (*above, index))
        return [*value[:index], changed, *value[index + 1 :]], at
    if value is None:
        value = {}
    elif isinstance(value, str):
        value = {"use": value}
    elif not isinstance(value, dict):
        raise ValueError(f"`{dotted(above)}` is {value!r} and has no options")
    changed, at = _set(value.get(head), rest, new, (*above, head))
    return {**value, head: changed}, at
