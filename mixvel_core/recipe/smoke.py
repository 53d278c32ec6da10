"""Smoke: a whole recipe at toy size, by what its own section `smoke` sets; to prove it before machines are rented.

    smoke:
      data: {use: procedural, like: cifar10}
      expert.train.steps: 20

Keys are paths, as on the command line; each value replaces what stands there. Elsewhere the section has no effect.
"""

from __future__ import annotations

from mixvel_core.recipe.overrides import put
from mixvel_core.recipe.problems import KeyPath, Place, Problem, Tree, dotted

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
        return _with_problem(tree, Problem(path=(SECTION,), message=message))
    small = _without(tree)
    for key in section:
        path = (SECTION, key)
        new = Tree(value=section[key], places=_below(tree, path))
        try:
            small = put(small, tuple(str(key).split(".")), new)
        except ValueError as error:
            problem = Problem(path=(dotted((str(key),)),), message=str(error), place=tree.place(path))
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


def _below(tree: Tree, above: KeyPath) -> dict[KeyPath, Place]:
    return {path[len(above) :]: place for path, place in tree.places.items() if path[: len(above)] == above}


def _with_problem(tree: Tree, problem: Problem) -> Tree:
    return Tree(value=tree.value, places=tree.places, problems=(*tree.problems, problem))
