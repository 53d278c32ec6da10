"""Definitions of the integrators; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen

from mixvel_core.plugin.definition import NoOptions, PluginDef, hookimpl
from mixvel_core.plugin.options import above, option
from mixvel_core.protocols import Integrator


@frozen(kw_only=True)
class DDIMOptions:
    """Options of ``ddim``."""

    clip: float | None = option(
        default=None,
        check=above(0),
        doc="bound of the clean part of each step, as diffusers' clip_sample; absent: none",
    )


def _euler(options: NoOptions) -> Integrator:
    from mixvel_integrators.integrators import Euler

    return Euler()


def _heun(options: NoOptions) -> Integrator:
    from mixvel_integrators.integrators import Heun

    return Heun()


def _ddim(options: DDIMOptions) -> Integrator:
    from mixvel_integrators.integrators import DDIM

    return DDIM(clip=options.clip)


def _multistep(options: NoOptions) -> Integrator:
    from mixvel_integrators.integrators import Multistep

    return Multistep()


def _definition(name: str, build: Callable[[NoOptions], Integrator], summary: str) -> PluginDef[Any, Integrator]:
    return PluginDef(
        kind="integrator",
        name=name,
        options=NoOptions,
        build=build,
        example=lambda: build(NoOptions()),
        summary=summary,
    )


@hookimpl
def mixvel_integrators() -> Sequence[PluginDef[Any, Integrator]]:
    """euler, heun, ddim, 2m."""
    return (
        _definition("euler", _euler, "Euler on the velocity; order 1, one evaluation a step"),
        _definition("heun", _heun, "Heun on the velocity; order 2, two evaluations a step, each its own selection"),
        PluginDef(
            kind="integrator",
            name="ddim",
            options=DDIMOptions,
            build=_ddim,
            example=lambda: _ddim(DDIMOptions()),
            summary="DDIM, exponential Euler; order 1, one evaluation a step",
        ),
        _definition("2m", _multistep, "second-order multistep on the denoiser; order 2, one evaluation a step"),
    )
