"""Sections of a recipe that set options of its other sections: `train`, and with `--smoke` toy size.

Section `train` says how all networks train, where their own `train` does not. Plugins declare their options at toy size
(``PluginDef.smoke``; with ``use`` another plugin of the kind stands in, as for data that would have to be downloaded).
What overrides and a recipe's own section `smoke` of ``key.path: value`` lines set stays; else it has no effect.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from attrs import evolve

from mixvel_core.errors import PluginError
from mixvel_core.plugin.discovery import Registry
from mixvel_core.plugin.kinds import Kind
from mixvel_core.recipe.describe import field_types
from mixvel_core.recipe.model import ReportOptions, SampleOptions
from mixvel_core.recipe.overrides import below, put, with_overrides, with_problem, with_values, without
from mixvel_core.recipe.problems import ProblemsFound, RecipeProblem, SourcePlace, Tree
from mixvel_core.recipe.structure import structure
from mixvel_core.training.options import RouterDataOptions, TrainOptions

TRAIN = "train"
SMOKE = "smoke"
SUFFIX = "-smoke"

_EAGER: Mapping[str, object] = {"channels_last": False, "compile": False}
_TOY: Mapping[type, Mapping[str, object]] = {
    TrainOptions: {"steps": 10, "batch": 8, "warmup": 2, "checkpoint_every": 5, "log_every": 2}
    | {"precision": "float32", **_EAGER},
    RouterDataOptions: {"count": 64, "steps": 4},
    SampleOptions: {"count": 16, "batch": 16, "steps": [2, 3], "seeds": [0], "threads": 1, "autocast": False, **_EAGER},
    ReportOptions: {"images": 16, "calibration": 8},
}
"""Options that recipes and plugins have in common, at toy size."""

_Path: TypeAlias = tuple[str, ...]


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
    known = all(one is None or plugin_name(one) in registry.names(kind) for _, kind, one in networks(tree.value))
    # In a file such a line may be overridden, or wait for a network that is left out; an override would be for nothing.
    idle = [key for key in unused if tree.place((TRAIN, key)).order and known]
    message = "has no effect: no network takes it; none trains, or each sets it in its own `train`"
    idle_problems = [RecipeProblem(path=(TRAIN, key), message=message, place=tree.place((TRAIN, key))) for key in idle]
    return with_problem(made, *idle_problems)


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


def plugin_name(value: Any) -> str:
    """The name of the plugin in a slot, empty where there is none."""
    name = value.get("use") if isinstance(value, dict) else value
    return name if isinstance(name, str) else ""


def at_full_size(tree: Tree) -> Tree:
    """The tree without its section `smoke`. `smoke: true`, as the recipe of a run folder has it, stays."""
    has_section = isinstance(tree.value, dict) and isinstance(tree.value.get(SMOKE), dict)
    return without(tree, SMOKE) if has_section else tree


def is_smoke(tree: Tree) -> bool:
    """Whether the recipe is at toy size already, as that of a run folder may be."""
    return not isinstance(tree.value, dict) or tree.value.get(SMOKE) is True


def at_toy_size(tree: Tree, overrides: Sequence[str], registry: Registry) -> Tree:
    """The tree of a recipe at toy size, with overrides set and the section `train` resolved.

    It is marked: `smoke: true`, and the name ends in -smoke. What the section `smoke` or an override sets is not made
    smaller.
    """
    small = without(tree, SMOKE)
    section = tree.value.get(SMOKE)
    if isinstance(section, dict):
        small = with_values(small, tree, SMOKE)
    elif section is not None and section is not False:
        problem = RecipeProblem(path=(SMOKE,), message="must hold key.path: value lines", place=tree.place((SMOKE,)))
        small, section = with_problem(small, problem), None
    small = with_overrides(small, overrides)
    names = [*(section or {}), *(override.partition("=")[0] for override in overrides)]
    fixed = [tuple(name.strip().split(".")) for name in names]
    taken = inherited(small.value, registry)
    fixed += [(*path, key) for path, key in taken if (TRAIN, key) in fixed or (TRAIN,) in fixed]
    small = with_training(small, registry)
    place = SourcePlace(source="--smoke", order=len(fixed) + 1)
    for path, value in _toy_values(small.value, registry):
        if not any(_decides(small.value, one, path) for one in fixed):
            # Where nothing can be set, what stands there is a problem that its own check finds.
            with suppress(ValueError):
                small = put(small, path, Tree(value=value, places={(): place}))
    name = small.value.get("name")
    marked = {**small.value, SMOKE: True}
    if isinstance(name, str) and not name.endswith(SUFFIX):
        marked["name"] = name + SUFFIX
    return evolve(small, value=marked)


def _decides(recipe: Any, fixed: _Path, path: _Path) -> bool:
    """Whether what was set at ``fixed`` includes a value at ``path``, or lies in it."""
    if fixed[: len(path)] == path:
        return True
    for key in path:
        recipe = recipe.get(key) if isinstance(recipe, dict) else None
    return fixed == path[: len(fixed)] and recipe is not None


def _toy_values(recipe: dict[str, Any], registry: Registry) -> Iterator[tuple[_Path, object]]:
    """Everything with a toy size: path and value."""
    for key, cls in (("sample", SampleOptions), ("report", ReportOptions)):
        yield from (((key, name), toy) for name, toy in _TOY[cls].items())
    for path, kind, value in _slots(recipe):
        try:
            definition = registry.get(kind, plugin_name(value))
            types = field_types(definition.options)
        except PluginError:
            continue
        if "use" in definition.smoke:
            yield path, dict(definition.smoke)
            continue
        for option, type_ in types.items():
            yield from (((*path, option, name), toy) for name, toy in _TOY.get(type_, {}).items())
        yield from (((*path, *option.split(".")), toy) for option, toy in definition.smoke.items())


def _slots(recipe: dict[str, Any]) -> Iterator[tuple[_Path, Kind, Any]]:
    """The slots whose plugins may have a toy size: data, codec, networks, metrics and launcher."""
    yield ("data",), "data", recipe.get("data")
    yield ("codec",), "codec", recipe.get("codec")
    yield from networks(recipe)
    evaluate = recipe.get("evaluate")
    metrics = evaluate.get("metrics") if isinstance(evaluate, dict) else None
    for index, metric in enumerate(metrics if isinstance(metrics, list) else ()):
        yield ("evaluate", "metrics", str(index)), "metric", metric
    yield ("launcher",), "launcher", recipe.get("launcher")
