"""Use: a plugin slot, ``{use: NAME, option: value, ...}`` once it is checked.

Recipes are made of slots, and a plugin's options may hold some: a field of type ``ScheduleUse`` is written and checked
in a recipe like the recipe's own.
"""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar

from attrs import frozen

from mixvel_core.plugin.definition import Kind, PluginDef
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

BuiltT_co = TypeVar("BuiltT_co", covariant=True)


@frozen(kw_only=True)
class Use(Generic[BuiltT_co]):
    """A definition and its checked options. ``build`` makes the component."""

    definition: PluginDef[Any, BuiltT_co]
    options: Any

    @property
    def name(self) -> str:
        """The plugin's name, what ``use:`` says."""
        return self.definition.name

    def build(self) -> BuiltT_co:
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
