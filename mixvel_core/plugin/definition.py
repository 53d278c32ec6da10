"""Definitions of plugins, the hooks that return them, and ``Use``: a slot of a recipe with checked options.

Recipes are made of slots, and a plugin's options may hold some: a field of type ``ScheduleUse`` is written and checked
in a recipe like the recipe's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar, get_args

import pluggy
from attrs import field, frozen

from mixvel_core.protocols import (
    DataSource,
    ExpertFamily,
    Integrator,
    Launcher,
    Metric,
    NoiseSchedule,
    Partitioner,
    RouterFamily,
    Selector,
)

Kind: TypeAlias = Literal[
    "schedule", "expert", "router", "selector", "integrator", "data", "partitioner", "metric", "launcher"
]
KINDS: tuple[Kind, ...] = get_args(Kind)

CONTRACT = 1
"""The version of the protocols. A definition made for a later version is refused with a clear message."""

OptionsT = TypeVar("OptionsT")
BuiltT_co = TypeVar("BuiltT_co", covariant=True)


@frozen(kw_only=True)
class PluginDef(Generic[OptionsT, BuiltT_co]):
    """A named way to build a component of one kind.

    ``kind``, ``name``: what a recipe writes as ``kind: {use: name}``. ``options``: the attrs class of its options
    (see ``mixvel_core.plugin.options``). ``build``: options -> component; it may import what it likes, the module
    that defines it may not import torch. ``example``: a tiny working component, for the conformance suites.
    ``summary``: one line. ``smoke``: options at toy size, ``option`` or ``section.option`` -> value as a recipe writes
    it, for `mixvel run --smoke`; with ``use``, another plugin of the kind and its options that stand in for this one.
    ``contract``: the version of the protocols it was written for.
    """

    kind: Kind
    name: str
    options: type[OptionsT]
    build: Callable[[OptionsT], BuiltT_co]
    example: Callable[[], BuiltT_co]
    summary: str
    smoke: Mapping[str, object] = field(factory=dict)
    contract: int = CONTRACT


@frozen(kw_only=True)
class NoOptions:
    """For plugins with nothing to choose."""


PROJECT = "mixvel"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Specs:
    """The hook specifications; the group of entry points is ``mixvel`` too."""

    @hookspec
    def mixvel_schedules(self) -> Sequence[PluginDef[Any, NoiseSchedule]]:
        """Noise schedules."""
        return ()

    @hookspec
    def mixvel_experts(self) -> Sequence[PluginDef[Any, ExpertFamily]]:
        """Expert families."""
        return ()

    @hookspec
    def mixvel_routers(self) -> Sequence[PluginDef[Any, RouterFamily]]:
        """Router families."""
        return ()

    @hookspec
    def mixvel_selectors(self) -> Sequence[PluginDef[Any, Selector]]:
        """Selectors."""
        return ()

    @hookspec
    def mixvel_integrators(self) -> Sequence[PluginDef[Any, Integrator]]:
        """Integrators."""
        return ()

    @hookspec
    def mixvel_data(self) -> Sequence[PluginDef[Any, DataSource]]:
        """Data sources."""
        return ()

    @hookspec
    def mixvel_partitioners(self) -> Sequence[PluginDef[Any, Partitioner]]:
        """Partitioners."""
        return ()

    @hookspec
    def mixvel_metrics(self) -> Sequence[PluginDef[Any, Metric]]:
        """Metrics."""
        return ()

    @hookspec
    def mixvel_launchers(self) -> Sequence[PluginDef[Any, Launcher]]:
        """Launchers."""
        return ()


ComponentT_co = TypeVar("ComponentT_co", covariant=True)


@frozen(kw_only=True)
class Use(Generic[ComponentT_co]):
    """A definition and its checked options. ``build`` makes the component."""

    definition: PluginDef[Any, ComponentT_co]
    options: Any

    @property
    def name(self) -> str:
        """The plugin's name, what ``use:`` says."""
        return self.definition.name

    def build(self) -> ComponentT_co:
        """A new component."""
        return self.definition.build(self.options)


class ScheduleUse(Use[NoiseSchedule]):
    """A noise schedule."""

    kind: ClassVar[Kind] = "schedule"


class ExpertUse(Use[ExpertFamily]):
    """A family of experts."""

    kind: ClassVar[Kind] = "expert"


class RouterUse(Use[RouterFamily]):
    """A family of routers."""

    kind: ClassVar[Kind] = "router"


class SelectorUse(Use[Selector]):
    """A selector."""

    kind: ClassVar[Kind] = "selector"


class IntegratorUse(Use[Integrator]):
    """An integrator."""

    kind: ClassVar[Kind] = "integrator"


class DataUse(Use[DataSource]):
    """A data source."""

    kind: ClassVar[Kind] = "data"


class PartitionerUse(Use[Partitioner]):
    """A partitioner."""

    kind: ClassVar[Kind] = "partitioner"


class MetricUse(Use[Metric]):
    """A metric."""

    kind: ClassVar[Kind] = "metric"


class LauncherUse(Use[Launcher]):
    """A launcher."""

    kind: ClassVar[Kind] = "launcher"
