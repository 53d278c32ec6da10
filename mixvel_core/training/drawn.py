"""DrawnOptions: how samples are drawn from experts for a router to learn from. Free of torch, as recipes need it."""

from __future__ import annotations

from typing import Literal, TypeAlias

from attrs import frozen

from mixvel_core.plugin.options import at_least, inside, option

TrainedOn: TypeAlias = Literal["data", "experts"]
"""What a router learns from: the items of the shards, or samples of the experts."""


@frozen(kw_only=True)
class DrawnOptions:
    """Each expert is sampled alone, by its own ODE, and stands with its samples for its shard."""

    count: int = option(
        default=4096, check=at_least(1), doc="samples of all experts together, shared out by the shards' fractions"
    )
    steps: int = option(default=40, check=at_least(1), doc="integrator steps")
    integrator: Literal["ddim", "2m", "heun"] = option(default="2m", doc="the integrator")
    grid: Literal["uniform", "logsnr", "quadratic", "karras"] = option(
        default="uniform", doc="how the steps are spread over time"
    )
    delta: float = option(default=1e-3, check=inside(0, 1), doc="the time at which sampling stops")
    store: Literal["float32", "uint8"] = option(
        default="float32", doc="how samples are kept; uint8 is a quarter of the size, and for images in [-1, 1] alone"
    )
