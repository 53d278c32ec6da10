"""What an owner shares of a shard beside its expert, in the words of ``mixvel train --share`` and of bundles."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import frozen

from mixvel_core.data.conditions import class_spec, conditions_of
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
    Gaussians too, 1 for none. ``labels``: how many items each class has too.
    """

    moments: bool = True
    rank: int = 0
    components: int = 1
    labels: bool = False

    def __str__(self) -> str:
        """As ``share_of`` reads it."""
        return f"{self._of_items},labels" if self.labels else self._of_items

    @property
    def _of_items(self) -> str:
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
        counts = "count of each class" if self.labels else "count"
        return f"{counts}, mean and variance{more} of its items" if self.moments else f"{counts} of its items"

    @property
    def has_gaussians(self) -> bool:
        """Whether more than mean and variance is shared."""
        return self.rank > 0 or self.components > 1


def share_of(text: object) -> Share:
    """``count``, ``moments``, ``rank=R`` or ``components=J``, with ``,labels`` behind it where class counts are shared;
    ``labels`` alone is ``moments,labels``. Raises ValueError for anything else."""
    found = re.fullmatch(
        r"(?:(?:(count|moments)|rank=([1-9]\d{0,2})|components=([1-9]\d{0,3}))(,labels)?|(labels))",
        str(text)[:40],
        re.ASCII,
    )
    if not isinstance(text, str) or found is None or found[3] == "1":
        raise ValueError(
            f"{text!s:.40} is none of count, moments, rank=R (R from 1 to 999), components=J (J from 2 to 9999), "
            "alone or with ,labels behind it"
        )
    labels = found[4] is not None or found[5] is not None
    return Share(moments=found[1] != "count", rank=int(found[2] or 0), components=int(found[3] or 1), labels=labels)


def check_shared_fit(share: Share, shard: Shard) -> None:
    """Raises DataError where the shard has too few items or numbers for what is to be shared, or no classes; reads none
    of them."""
    from mixvel_core.field.gaussian_fit import check_fit

    if share.labels and class_spec(conditions_of(shard)) is None:
        raise DataError(f"--share {share}: its items have no classes; set `condition.class`, or leave `labels` out")
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
