"""Values set in the tree of a recipe: overrides ``key.path=value``, and sections of ``key.path: value`` lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve

from mixvel_core.recipe.problems import KeyPath, RecipeProblem, SourcePlace, Tree, dotted, shortened
from mixvel_core.recipe.text import parse


def with_overrides(tree: Tree, overrides: Sequence[str]) -> Tree:
    """The tree with every override set, in order. What is malformed is left out and kept as a problem.

    An option of a plugin that the recipe names alone may be set too: ``schedule: vp-cosine`` with
    ``schedule.shift=0.1`` is ``schedule: {use: vp-cosine, shift: 0.1}``. List entries are named by their index.
    """
    for order, override in enumerate(overrides, start=1):
        source = f"{shortened(override)} (command line)"
        place = SourcePlace(source=source, order=order)
        key, equals, text = override.partition("=")
        path = tuple(key.strip().split("."))
        if not equals or not all(path):
            message = "is no override; write key.path=value, for example seed=1"
            tree = with_problem(tree, RecipeProblem(path=(), message=message, place=place))
            continue
        new = parse(text, source, in_file=False, order=order)
        try:
            tree = put(tree, path, new) if new.readable else with_problem(tree, *new.problems)
        except ValueError as error:
            tree = with_problem(tree, RecipeProblem(path=path, message=str(error), place=place))
    return tree


def put(tree: Tree, path: Sequence[str], new: Tree) -> Tree:
    """``tree`` with ``new`` at ``path``, whatever stood there. Raises ValueError where nothing can stand there.

    Sections that are made on the way stand where ``new`` does.
    """
    root = [tree.value]
    places = dict(tree.places)
    holder: Any = root
    key: str | int = 0
    at: KeyPath = ()
    for head in path:
        part: Any = holder[key]
        step: str | int = head
        if isinstance(part, list):
            holder[key], step = [*part], _index(head, part, at)
        elif part is None or isinstance(part, (str, dict)):
            if at and isinstance(part, str):
                places[(*at, "use")] = tree.place(at)
            if at and not isinstance(part, dict):
                places[at] = new.places[()]
            holder[key] = {"use": part} if isinstance(part, str) else {**(part or {})}
            holder[key].setdefault(head)
        else:
            raise ValueError(f"`{dotted(at)}` is {part!r} and has no options")
        holder, key, at = holder[key], step, (*at, step)
    holder[key] = new.value
    kept = {path: place for path, place in places.items() if path[: len(at)] != at}
    return Tree(
        value=root[0],
        places=kept | {(*at, *path): place for path, place in new.places.items()},
        problems=(*tree.problems, *(problem.below(*at) for problem in new.problems)),
    )


def _index(head: str, entries: list[Any], at: KeyPath) -> int:
    index = int(head) if head.isascii() and head.isdigit() and len(head) < 9 else len(entries)
    if index >= len(entries):
        where = f"`{dotted(at)}` is a list of {len(entries)}"
        raise ValueError(f"{shortened(head)!r} is no entry of it: {where}, counted from 0")
    return index


def with_values(tree: Tree, source: Tree, *section: str) -> Tree:
    """``tree`` with every ``key.path: value`` line set that stands below ``section`` of ``source``, in order."""
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
    return evolve(tree, value=value, places=places)


def below(tree: Tree, above: KeyPath) -> dict[KeyPath, SourcePlace]:
    """The places of what stands below a path, by their paths from there."""
    return {path[len(above) :]: place for path, place in tree.places.items() if path[: len(above)] == above}


def with_problem(tree: Tree, *problems: RecipeProblem) -> Tree:
    """The tree with further problems."""
    return evolve(tree, problems=(*tree.problems, *problems))
