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


_SCHEDULES = (
    ("vp-linear", LinearOptions(), "Linear", "variance preserving, linear beta; alpha(1) = 0.0066"),
    ("vp-cosine", NoOptions(), "Cosine", "variance preserving, alpha = cos(pi t/2); alpha(1) = 0"),
    ("ddpm-table", TableOptions(steps=250), "ddpm_table", "a discrete DDPM beta table, made continuous by a spline"),
    ("rectified", NoOptions(), "Rectified", "the rectified path alpha = 1 - t, sigma = t"),
)
"""Name, options of an example, what makes it, and a summary."""


@hookimpl
def mixvel_schedules() -> Sequence[PluginDef[Any, NoiseSchedule]]:
    """The noise schedules of this package."""
    return [
        PluginDef(
            kind="schedule",
            name=name,
            options=type(example),
            target=f"mixvel_schedules.schedules:{target}",
            example_options=example,
            summary=summary,
        )
        for name, example, target, summary in _SCHEDULES
    ]
