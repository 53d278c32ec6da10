"""The section `train` of a recipe: how all of its networks train, where their own `train` does not set it.

    train: {batch: 128, learning_rate: 2.0e-4}
    expert: {use: unet, train: {steps: 40000}}
    routers:
      a: {use: a-network, train: {steps: 50000}}

is the same as both options written out in both networks, and it is resolved to that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import evolve

from mixvel_core.errors import PluginError
from mixvel_core.plugin.discovery import Registry
from mixvel_core.plugin.kinds import Kind
from mixvel_core.recipe.describe import field_types
from mixvel_core.recipe.overrides import below, put, with_problem, without
from mixvel_core.recipe.problems import ProblemsFound, RecipeProblem, Tree
from mixvel_core.recipe.structure import structure
from mixvel_core.training.options import TrainOptions

TRAIN = "train"


def with_training(tree: Tree, registry: Registry) -> Tree:
    """The tree with its section `train` written into every network that trains, and without that section."""
    if not isinstance(tree.value, dict) or TRAIN not in tree.value:
        return tree
    section, made = tree.value[TRAIN], without(tree, TRAIN)
    if section is None:
        return made
    try:
        structure(section, TrainOptions, registry, owner=TRAIN)
    except ProblemsFound as found:
        problems = [one.below(TRAIN) for one in found.problems]
        return with_problem(made, *(evolve(one, place=tree.place(one.path)) for one in problems))
    unused = dict.fromkeys(section)
    for path, key in inherited(tree.value, registry):
        made = put(made, (*path, key), Tree(value=section[key], places=below(tree, (TRAIN, key))))
        unused.pop(key, None)
    # In a file such a line may be overridden, or wait for a network that is left out; an override would be for nothing.
    idle = [key for key in unused if tree.place((TRAIN, key)).order and _known(tree.value, registry)]
    message = "has no effect: no network takes it; none trains, or each sets it in its own `train`"
    places = {(TRAIN, key): tree.place((TRAIN, key)) for key in idle}
    return with_problem(
        made, *(RecipeProblem(path=path, message=message, place=place) for path, place in places.items())
    )


def networks(recipe: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Kind, Any]]:
    """The slots of a recipe that networks may stand in: path, kind and what is written there."""
    for name in ("expert", "monolith"):
        yield (name,), "expert", recipe.get(name)
    routers = recipe.get("routers")
    for name, router in routers.items() if isinstance(routers, dict) else ():
        yield ("routers", name), "router", router


def inherited(recipe: dict[str, Any], registry: Registry) -> Iterator[tuple[tuple[str, ...], str]]:
    """What networks take from the section `train`: the path of an option of type TrainOptions, and a key below it."""
    section = recipe.get(TRAIN)
    for path, kind, value in networks(recipe):
        try:
            types = field_types(registry.get(kind, plugin_name(value)).options)
        except PluginError:
            continue
        for name in [name for name, type_ in types.items() if type_ is TrainOptions]:
            own = value.get(name) if isinstance(value, dict) else None
            # What is not a section is a problem that its own check finds.
            if isinstance(section, dict) and (own is None or isinstance(own, dict)):
                yield from (((*path, name), key) for key in section if key not in (own or {}))


def _known(recipe: dict[str, Any], registry: Registry) -> bool:
    """Whether every network's plugin is installed, so that it is known which of them train."""
    return all(value is None or plugin_name(value) in registry.names(kind) for _, kind, value in networks(recipe))


def plugin_name(value: Any) -> str:
    """The name of the plugin in a slot, empty where there is none."""
    name = value.get("use") if isinstance(value, dict) else value
    return name if isinstance(name, str) else ""
