"""The definitions of this package's plugins; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from mixvel_core.plugin.definition import NoOptions, PluginDef, hookimpl
from mixvel_core.plugin.options import above, at_least, option
from mixvel_core.protocols import NoiseSchedule, RouterFamily, Selector


@frozen(kw_only=True)
class ShiftedOptions:
    """Options of ``shifted``."""

    shift: float = option(default=3.0, check=above(0), doc="factor of sigma/alpha; above 1 gives noise more time")


@frozen(kw_only=True)
class CoresetOptions:
    """Options of ``coreset``."""

    items: int = option(default=64, check=at_least(1), doc="items that each shard gives away")


@hookimpl
def mixvel_schedules() -> Sequence[PluginDef[Any, NoiseSchedule]]:
    """shifted."""
    return [
        PluginDef(
            kind="schedule",
            name="shifted",
            options=ShiftedOptions,
            target="mixvel_external.shifted:Shifted",
            summary="the rectified path in a time that dwells on noise",
            contract=2,
        )
    ]


@hookimpl
def mixvel_routers() -> Sequence[PluginDef[Any, RouterFamily]]:
    """coreset."""
    return [
        PluginDef(
            kind="router",
            name="coreset",
            options=CoresetOptions,
            target="mixvel_external.coreset:CoresetFamily",
            example_options=CoresetOptions(items=4),
            summary="the posterior over a few items of each shard",
            contract=2,
        )
    ]


@hookimpl
def mixvel_selectors() -> Sequence[PluginDef[Any, Selector]]:
    """stratified."""
    return [
        PluginDef(
            kind="selector",
            name="stratified",
            options=NoOptions,
            target="mixvel_external.stratified:Stratified",
            summary="one expert a step, drawn so that consecutive draws spread evenly",
            contract=2,
        )
    ]
