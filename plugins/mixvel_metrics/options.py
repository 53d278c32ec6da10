"""Options of the metrics. Free of NumPy, because recipes are checked with it."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from mixvel_core.plugin.options import at_least, option


@frozen(kw_only=True)
class Wasserstein2Options:
    """Options of ``w2``."""

    max_count: int = option(
        default=2000, check=at_least(1), doc="items compared on each side, the first ones; memory grows as its square"
    )


@frozen(kw_only=True)
class SlicedWasserstein2Options:
    """Options of ``sliced-w2``."""

    projections: int = option(default=256, check=at_least(1), doc="random directions")
    seed: int = option(default=0, check=at_least(0), doc="seed of the directions")


@frozen(kw_only=True)
class FrechetOptions:
    """Options of ``frechet``."""

    features: Literal["pixels", "random-conv"] = option(
        default="pixels", doc="the feature space: the values themselves, or a fixed random network (images only)"
    )
