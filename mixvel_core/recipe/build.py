"""build: a component by kind, name and options, for Python without a recipe; options are checked as in one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar, overload

from mixvel_core.plugin.discovery import Registry, load_registry
from mixvel_core.plugin.kinds import Kind
from mixvel_core.protocols import (
    CodecFamily,
    DataSource,
    ExpertFamily,
    Guidance,
    Integrator,
    Launcher,
    Metric,
    NoiseSchedule,
    Partitioner,
    RouterFamily,
    Selector,
)
from mixvel_core.recipe.problems import ProblemsFound, SourcePlace, Tree, report
from mixvel_core.recipe.structure import structure

Options = Mapping[str, object] | None
Plugins = Registry | None
OptionsT = TypeVar("OptionsT")


@overload
def build(kind: Literal["schedule"], name: str, options: Options = ..., registry: Plugins = ...) -> NoiseSchedule: ...
@overload
def build(kind: Literal["expert"], name: str, options: Options = ..., registry: Plugins = ...) -> ExpertFamily: ...
@overload
def build(kind: Literal["router"], name: str, options: Options = ..., registry: Plugins = ...) -> RouterFamily: ...
@overload
def build(kind: Literal["selector"], name: str, options: Options = ..., registry: Plugins = ...) -> Selector: ...
@overload
def build(kind: Literal["integrator"], name: str, options: Options = ..., registry: Plugins = ...) -> Integrator: ...
@overload
def build(kind: Literal["guidance"], name: str, options: Options = ..., registry: Plugins = ...) -> Guidance: ...
@overload
def build(kind: Literal["data"], name: str, options: Options = ..., registry: Plugins = ...) -> DataSource: ...
@overload
def build(kind: Literal["partitioner"], name: str, options: Options = ..., registry: Plugins = ...) -> Partitioner: ...
@overload
def build(kind: Literal["codec"], name: str, options: Options = ..., registry: Plugins = ...) -> CodecFamily: ...
@overload
def build(kind: Literal["metric"], name: str, options: Options = ..., registry: Plugins = ...) -> Metric: ...
@overload
def build(kind: Literal["launcher"], name: str, options: Options = ..., registry: Plugins = ...) -> Launcher: ...
@overload
def build(kind: Kind, name: str, options: Options = ..., registry: Plugins = ...) -> Any: ...
def build(kind: Kind, name: str, options: Options = None, registry: Plugins = None) -> Any:
    """A new component, ``build("schedule", "vp-linear", {"beta_max": 15.0})``.

    Args:
        kind: what it is.
        name: the plugin's name; ``mixvel plugins`` lists them.
        options: its options as a recipe would write them; defaults where absent.
        registry: where to look; everything installed if absent.

    Raises:
        PluginError: there is no such plugin, or it cannot be used.
        RecipeError: options are wrong, a line for each problem.
    """
    registry = registry or load_registry()
    definition = registry.get(kind, name)
    return definition.build(checked(definition.options, options or {}, f"{kind} {name}", registry, owner=name))


def checked(
    cls: type[OptionsT],
    value: Mapping[str, object],
    source: str,
    registry: Registry | None = None,
    owner: str | None = None,
) -> OptionsT:
    """Plain data as an options class or a section of a recipe, checked as in a recipe.

    Raises RecipeError, a line for each problem; ``source`` is named in place of a recipe file, ``owner`` as whose
    options they are.
    """
    try:
        found: OptionsT = structure(value, cls, registry or load_registry(), owner=owner)
    except ProblemsFound as problems:
        tree = Tree(value=None, places={(): SourcePlace(source=source)})
        raise report(tree, problems.problems) from None
    return found
