"""Definitions of the schedules; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from attrs import frozen

from mixvel_core.plugin.definition import NoOptions, PluginDef, hookimpl
from mixvel_core.plugin.options import above, at_least, inside, option
from mixvel_core.protocols import NoiseSchedule


@frozen(kw_only=True)
class LinearOptions:
    """Options of the schedule ``vp-linear``."""

    beta_min: float = option(default=0.1, check=above(0), doc="beta at t = 0")
    beta_max: float = option(default=20.0, check=above(0), doc="beta at t = 1")


@frozen(kw_only=True)
class TableOptions:
    """Options of the schedule ``ddpm-table``."""

    betas: Literal["linear", "scaled-linear", "squared-cosine"] = option(default="linear", doc="shape of the table")
    steps: int = option(default=1000, check=at_least(4), doc="length T of the table")
    first: float = option(default=1e-4, check=inside(0, 1), doc="first beta (not of squared-cosine)")
    last: float = option(default=0.02, check=inside(0, 1), doc="last beta (not of squared-cosine)")


SCHEDULES: Sequence[PluginDef[Any, NoiseSchedule]] = (
    PluginDef(
        kind="schedule",
        name="vp-linear",
        options=LinearOptions,
        target="mixvel_schedules.schedules:Linear",
        summary="variance preserving, linear beta; alpha(1) = 0.0066",
    ),
    PluginDef(
        kind="schedule",
        name="vp-cosine",
        options=NoOptions,
        target="mixvel_schedules.schedules:Cosine",
        summary="variance preserving, alpha = cos(pi t/2); alpha(1) = 0",
    ),
    PluginDef(
        kind="schedule",
        name="ddpm-table",
        options=TableOptions,
        target="mixvel_schedules.schedules:ddpm_table",
        example_options=TableOptions(steps=250),
        summary="a discrete DDPM beta table, made continuous by a spline",
    ),
    PluginDef(
        kind="schedule",
        name="rectified",
        options=NoOptions,
        target="mixvel_schedules.schedules:Rectified",
        summary="the rectified path alpha = 1 - t, sigma = t",
    ),
)


@hookimpl
def mixvel_schedules() -> Sequence[PluginDef[Any, NoiseSchedule]]:
    """The noise schedules of this package."""
    return SCHEDULES
