"""Definitions of the integrators; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from mixvel_core.plugin.definition import NoOptions, PluginDef, hookimpl
from mixvel_core.plugin.options import above, option
from mixvel_core.protocols import Integrator


@frozen(kw_only=True)
class DDIMOptions:
    """Options of the integrator ``ddim``."""

    clip: float | None = option(
        default=None,
        check=above(0),
        doc="bound of the clean part of each step, as diffusers' clip_sample; absent: none",
    )


INTEGRATORS: Sequence[PluginDef[Any, Integrator]] = (
    PluginDef(
        kind="integrator",
        name="euler",
        options=NoOptions,
        target="mixvel_integrators.integrators:Euler",
        summary="Euler on the velocity; order 1, one evaluation a step",
    ),
    PluginDef(
        kind="integrator",
        name="heun",
        options=NoOptions,
        target="mixvel_integrators.integrators:Heun",
        summary="Heun on the velocity; order 2, two evaluations a step, each its own selection",
    ),
    PluginDef(
        kind="integrator",
        name="ddim",
        options=DDIMOptions,
        target="mixvel_integrators.integrators:DDIM",
        summary="DDIM, exponential Euler; order 1, one evaluation a step",
    ),
    PluginDef(
        kind="integrator",
        name="2m",
        options=NoOptions,
        target="mixvel_integrators.integrators:Multistep",
        summary="second-order multistep on the denoiser; order 2, one evaluation a step",
    ),
)


@hookimpl
def mixvel_integrators() -> Sequence[PluginDef[Any, Integrator]]:
    """The integrators of this package."""
    return INTEGRATORS
