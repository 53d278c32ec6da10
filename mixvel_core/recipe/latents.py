"""Options that hold for items in [-1, 1] alone, in a recipe whose experts see a codec's latents.

Plugins declare them with the value that takes their place there (``PluginDef.of_latents``): ``clip: false`` of experts.
A recipe that says otherwise is wrong; one that is silent has them set.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mixvel_core.errors import PluginError
from mixvel_core.plugin.discovery import Registry
from mixvel_core.plugin.kinds import Kind
from mixvel_core.recipe.overrides import put, with_problem
from mixvel_core.recipe.problems import KeyPath, RecipeProblem, SourcePlace, Tree
from mixvel_core.recipe.sections import plugin_name


def with_latents(tree: Tree, registry: Registry) -> Tree:
    """The tree with those options set, where it has a codec that makes latents; as it is otherwise."""
    if not isinstance(tree.value, dict) or not _has_latents(tree.value, registry):
        return tree
    for path, kind, value in _slots(tree.value):
        try:
            wanted = registry.get(kind, plugin_name(value)).of_latents
        except PluginError:
            continue  # a problem that its own check finds
        for option, own in wanted.items():
            given = value.get(option) if isinstance(value, dict) else None
            place = (*path, option)
            if given is not None and given != own:
                plain = "left out" if own is None else str(own).lower()
                message = f"must be {plain}: with a codec, experts see latents, which do not lie in [-1, 1]"
                tree = with_problem(tree, RecipeProblem(path=place, message=message, place=tree.place(place)))
            elif own is not None:
                new = Tree(value=own, places={(): SourcePlace(source="codec")})
                tree = put(tree, tuple(map(str, place)), new)
    return tree


def _has_latents(recipe: dict[str, Any], registry: Registry) -> bool:
    try:
        return not registry.get("codec", plugin_name(recipe.get("codec"))).is_identity
    except PluginError:
        return False


def _slots(recipe: dict[str, Any]) -> Iterator[tuple[KeyPath, Kind, Any]]:
    """The experts and integrators of a recipe: where each stands, and what is written there."""
    for name in ("expert", "monolith"):
        value = recipe.get(name)
        yield (name,), "expert", value
        # An expert may be made of others, one for each shard.
        yield from (((name, "experts", index), "expert", one) for index, one in _listed(value, "experts"))
    sample, study = recipe.get("sample"), recipe.get("study")
    if isinstance(sample, dict):
        yield ("sample", "integrator"), "integrator", sample.get("integrator")
        methods = sample.get("methods")
        for name, method in methods.items() if isinstance(methods, dict) else ():
            if isinstance(method, dict):
                yield ("sample", "methods", name, "integrator"), "integrator", method.get("integrator")
    yield from ((("study", "integrators", n), "integrator", one) for n, one in _listed(study, "integrators"))


def _listed(section: Any, key: str) -> Iterator[tuple[int, Any]]:
    values = section.get(key) if isinstance(section, dict) else None
    yield from enumerate(values if isinstance(values, list) else ())
