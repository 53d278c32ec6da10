"""The hooks: one a kind. A plugin module implements those it has something for, and returns definitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pluggy

from mixvel_core.plugin.definition import PluginDef
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
