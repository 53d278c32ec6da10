"""Options of the routers without a network; nothing here imports torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, Self

from attrs import evolve, frozen

from mixvel_core.plugin.levels import agreed_boundaries
from mixvel_core.plugin.options import OptionCheck, at_least, between, option
from mixvel_core.protocols import Shard, SharingShard
from mixvel_routers.options import INCREASING

USUAL_RANK = 8
"""Principal components, where the shards carry as many."""


_WEIGHTS = OptionCheck(
    text="fractions, uniform, or a list of numbers of at least 0 with a sum above 0",
    holds=lambda v: isinstance(v, str) or (all(math.isfinite(w) and w >= 0 for w in v) and sum(v) > 0),
)


@frozen(kw_only=True)
class FixedOptions:
    """Options of the router ``fixed``."""

    weights: Literal["fractions", "uniform"] | tuple[float, ...] = option(
        default="fractions",
        before="fractions",
        check=_WEIGHTS,
        doc="of the experts: the shards' fractions, all the same, or a number for each, divided by their sum",
    )


@frozen(kw_only=True)
class MomentsOptions:
    """Options of the router ``moments``: for what each shard is taken."""

    rank: int | None = option(
        default=None,
        check=at_least(0),
        doc="principal components of each shard; 0: a variance of each coordinate; absent: 8, or as many as there are",
    )
    components: int = option(
        default=1, check=at_least(1), doc="Gaussians of each shard, by k-means, with a variance of each coordinate"
    )

    def __attrs_post_init__(self) -> None:
        """Raises ValueError for principal components of several Gaussians."""
        if self.components > 1 and self.rank:
            raise ValueError("rank: is for one Gaussian a shard; leave out `rank` or `components`")

    def rank_for(self, shards: Sequence[Shard]) -> int:
        """r for these shards; if ``rank`` is absent at most what each carries, or its owner shares."""
        if self.rank is not None or self.components > 1:
            return self.rank or 0
        return min(USUAL_RANK, *(_most(shard) for shard in shards))


def _most(shard: Shard) -> int:
    """The largest r that can be had of a shard."""
    return shard.rank if isinstance(shard, SharingShard) else min(shard.count, math.prod(shard.shape)) - 1


_BOUNDARIES = OptionCheck(
    text=f"a list, not empty, of {INCREASING.text}", holds=lambda times: len(times) > 0 and INCREASING.holds(times)
)


@frozen(kw_only=True)
class NoiseLevelsOptions:
    """Options of the router ``noise-levels``."""

    boundaries: tuple[float, ...] | None = option(
        default=None,
        check=_BOUNDARIES,
        doc="where the times of one expert end and those of the next begin; the first expert is nearest data; absent: "
        "what the folder of the experts says (`boundary_ratio`)",
    )
    width: float = option(default=0.0, check=at_least(0), doc="time over which weights pass from one to the next")

    def __attrs_post_init__(self) -> None:
        """Raises ValueError where two boundaries are nearer than the width."""
        if any(b - a < self.width for a, b in pairwise(self.boundaries or ())):
            raise ValueError(f"width: {self.width:g} is more than two boundaries are apart; give less")

    def at_levels(self, times: Sequence[float] | None) -> Self:
        """These options with the experts' own times. Raises ValueError where they contradict, or there are none."""
        return evolve(self, boundaries=agreed_boundaries(self.boundaries, times))


@frozen(kw_only=True)
class ExpertsOptions(MomentsOptions):
    """Options of the router ``experts``; ``rank`` and ``components`` are of the shards' Gaussians."""

    prior: Literal["moments", "none"] = option(
        default="moments",
        doc="moments: the answers correct the posterior of the shards' Gaussians; none: they are all there is",
    )
    second_moment: Literal["moments", "probe"] = option(
        default="moments",
        doc="tr Cov of each expert: of the shards' Gaussians, or measured by one further evaluation of each expert",
    )
    decay: float = option(
        default=0.1, check=between(0, 1), doc="part of a correction that is lost in a step without an answer"
    )
    freeze: float = option(
        default=0.16,
        check=at_least(0),
        doc="sigma/alpha below which answers correct nothing any more; the posterior of the Gaussians goes on",
    )

    @property
    def needs_moments(self) -> bool:
        """Whether something of the shards has to be known."""
        return "moments" in (self.prior, self.second_moment)
