"""Definitions of the integrators; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from attrs import frozen

from mixvel_core.plugin.definition import NoOptions, PluginDef, hookimpl
from mixvel_core.plugin.options import above, between, option
from mixvel_core.protocols import Integrator


@frozen(kw_only=True)
class DDIMOptions:
    """Options of the integrator ``ddim``."""

    clip: float | None = option(
        default=None,
        check=above(0),
        doc="bound of the clean part of each step, as diffusers' clip_sample; absent: none",
    )


@frozen(kw_only=True)
class AncestralOptions:
    """Options of the integrator ``ancestral``: how much of each step is noise."""

    eta: float = option(
        default=1.0, check=between(0, 1), doc="the churn: 0 is ddim, 1 makes as much noise anew as DDPM does"
    )


@frozen(kw_only=True)
class AngleMultistepOptions:
    """Options of the integrator ``pc``: the orders of its predictor and its corrector."""

    predictor: int = option(default=2, check=between(1, 4), doc="order of the predictor")
    corrector: int = option(default=3, check=between(0, 5), doc="order of the corrector, which costs nothing; 0: none")


@frozen(kw_only=True)
class UniPCOptions:
    """Options of the integrator ``unipc``: its number of nodes and its variant."""

    nodes: int = option(
        default=3, check=between(1, 3), doc="estimates that the predictor uses; its order in diffusers' words"
    )
    variant: Literal["bh1", "bh2"] = option(
        default="bh2", doc="the function B(h) of steps that use two estimates: h, or 1 - exp(-h)"
    )


@frozen(kw_only=True)
class DEISOptions:
    """Options of the integrator ``deis``: its number of nodes."""

    nodes: int = option(default=3, check=between(1, 4), doc="estimates that a step uses; its order in diffusers' words")


@frozen(kw_only=True)
class IPNDMOptions:
    """Options of the integrator ``ipndm``: its number of nodes."""

    nodes: int = option(default=4, check=between(1, 4), doc="estimates that a step uses; its authors' order")


_INTEGRATORS = (
    ("euler", NoOptions, "integrators:Euler", "Euler on the velocity; order 1, one evaluation a step"),
    (
        "heun",
        NoOptions,
        "integrators:Heun",
        "Heun on the velocity; order 2, two evaluations a step, each its own selection",
    ),
    ("ddim", DDIMOptions, "integrators:DDIM", "DDIM, exponential Euler; order 1, one evaluation a step"),
    (
        "ancestral",
        AncestralOptions,
        "ancestral:Ancestral",
        "DDIM with noise made anew in every step, an SDE; order 1, one evaluation a step",
    ),
    (
        "2m",
        NoOptions,
        "integrators:Multistep",
        "multistep on the denoiser; order 2, one evaluation a step",
    ),
    (
        "pc",
        AngleMultistepOptions,
        "angle_multistep:AngleMultistep",
        "predictor-corrector multistep in the angle; order 3, one evaluation a step",
    ),
    (
        "unipc",
        UniPCOptions,
        "baselines:UniPC",
        "UniPC: predictor-corrector multistep in log(alpha/sigma); order 4, one evaluation a step",
    ),
    (
        "3m",
        NoOptions,
        "baselines:ThirdOrderMultistep",
        "DPM-Solver++(3M): multistep in log(alpha/sigma); order 2, one evaluation a step",
    ),
    ("deis", DEISOptions, "baselines:DEIS", "DEIS: multistep on the noise; order 2, one evaluation a step"),
    ("ipndm", IPNDMOptions, "baselines:IPNDM", "iPNDM: four equal steps' weights; order 2, one evaluation a step"),
)


@hookimpl
def mixvel_integrators() -> Sequence[PluginDef[Any, Integrator]]:
    """The integrators of this package."""
    return [
        PluginDef(
            kind="integrator",
            name=name,
            options=options,
            target=f"mixvel_integrators.{target}",
            theory="euler" if name == "euler" else None,
            of_latents={"clip": None} if options is DDIMOptions else {},
            summary=summary,
        )
        for name, options, target, summary in _INTEGRATORS
    ]
