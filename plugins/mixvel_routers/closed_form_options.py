"""Options of the routers without a network; nothing here imports torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from attrs import frozen

from mixvel_core.plugin.options import at_least, option
from mixvel_core.protocols import Shard

USUAL_RANK = 8
"""Principal components, where the shards carry as many."""


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
        """r for these shards, at most what the smallest of them carries where ``rank`` is absent."""
        if self.rank is not None or self.components > 1:
            return self.rank or 0
        return min(USUAL_RANK, *(min(shard.count, math.prod(shard.shape)) - 1 for shard in shards))
