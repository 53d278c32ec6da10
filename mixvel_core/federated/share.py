"""What an owner shares of a shard beside its expert, in the words of ``mixvel train --share`` and of bundles."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import frozen

from mixvel_core.errors import DataError
from mixvel_core.protocols import Shard

if TYPE_CHECKING:
    from mixvel_core.field.gaussians import ShardGaussians

_FEWEST = 2
"""Items of a k-means Gaussian: the mean of one item is that item."""


@frozen(kw_only=True)
class Share:
    """Besides the count of items, which is always shared.

    ``moments``: their mean and variance. ``rank``: r principal components too, 0 for none. ``components``: J k-means
    Gaussians too, 1 for none.
    """

    moments: bool = True
    rank: int = 0
    components: int = 1

    def __str__(self) -> str:
        """As ``share_of`` reads it."""
        if self.rank > 0:
            return f"rank={self.rank}"
        if self.components > 1:
            return f"components={self.components}"
        return "moments" if self.moments else "count"

    @property
    def in_words(self) -> str:
        """What is shared, for a line of progress."""
        more = f", {self.rank} principal components" if self.rank > 0 else ""
        more += f", {self.components} k-means Gaussians" if self.components > 1 else ""
        return f"count, mean and variance{more} of its items" if self.moments else "count of its items"

    @property
    def has_gaussians(self) -> bool:
        """Whether more than mean and variance is shared."""
        return self.rank > 0 or self.components > 1


def share_of(text: object) -> Share:
    """``count``, ``moments``, ``rank=R`` or ``components=J``. Raises ValueError for anything else."""
    found = re.fullmatch(r"(?:count|moments|rank=([1-9]\d{0,2})|components=([1-9]\d{0,3}))", str(text)[:40], re.ASCII)
    if not isinstance(text, str) or found is None or found[2] == "1":
        raise ValueError(
            f"{text!s:.40} is none of count, moments, rank=R (R from 1 to 999), components=J (J from 2 to 9999)"
        )
    return Share(moments=text != "count", rank=int(found[1] or 0), components=int(found[2] or 1))


def check_shared_fit(share: Share, shard: Shard) -> None:
    """Raises DataError where the shard has too few items or numbers for what is to be shared; reads none of them."""
    from mixvel_core.field.gaussian_fit import check_fit

    check_fit(shard, share.rank, share.components, f"--share {share}")


def shared_gaussians(share: Share, shard: Shard) -> ShardGaussians:
    """What the router ``moments`` makes of the shard, by the same code.

    Raises DataError as ``check_shared_fit`` does, and where a Gaussian would be one item and no more.
    """
    from mixvel_core.field.gaussian_fit import fit_gaussians

    check_shared_fit(share, shard)
    made = fit_gaussians(shard, rank=share.rank, components=share.components)
    fewest = round(float(made.weights.min()) * shard.count)
    if fewest < _FEWEST and share.components > 1:
        raise DataError(
            f"--share {share}: a Gaussian has {'one item, which is its mean' if fewest else 'no item'}; share fewer "
            "components"
        )
    return made
