"""Gaussians of cells: the items of class c in shard k, each cell made of its own items and its own shard alone.

Variances of cells are shrunk to the shard's (``shrunk``), so that a cell of a few items is no spike. With fewer items
than r + 2 for r principal components a cell has the shard's covariance about its own mean, with fewer than 2 J for J
components one Gaussian. An empty cell has the shard's Gaussians; p(k | c) = 0 rules it out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from attrs import evolve, field, frozen
from torch import Tensor

from mixvel_core.data.conditions import class_spec, conditions_of, values_of
from mixvel_core.data.items import Chosen
from mixvel_core.field.class_gaussians import class_tensors, shrunk
from mixvel_core.field.gaussian_fit import fit_gaussians
from mixvel_core.field.gaussians import ShardGaussians
from mixvel_core.protocols import CLASS, GaussianLaw, Items, Shard, SharingShard


@frozen(kw_only=True, eq=False)
class ClassShard:
    """The items of a shard that have one class, in their order: a shard of its own. ``rows``: which they are."""

    source: Shard
    rows: np.ndarray
    law: GaussianLaw | None = field(default=None, init=False)

    @property
    def index(self) -> int:
        """k of the shard."""
        return self.source.index

    @property
    def count(self) -> int:
        """The number of its items."""
        return len(self.rows)

    @property
    def fraction(self) -> float:
        """Of its items among those of its shard."""
        return self.count / self.source.count

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one item, ``*data``."""
        return self.source.shape

    @property
    def items(self) -> Items:
        """The items, read where they are indexed."""
        return Chosen(source=self.source.items, rows=self.rows)


def by_class(shard: Shard, C: int) -> list[ClassShard]:
    """The C cells of a shard, some of them perhaps empty."""
    labels = np.asarray(values_of(shard)[CLASS][:])
    return [ClassShard(source=shard, rows=np.flatnonzero(labels == c)) for c in range(C)]


def cell_tensors(
    shards: Sequence[Shard], made: Sequence[ShardGaussians], rank: int, components: int
) -> dict[str, Tensor]:
    """The Gaussians of all cells, to be stored; none where items have no class, or are with their owners.

    Args:
        shards: K of them.
        made: the Gaussians of each.
        rank: r of each Gaussian.
        components: J of each cell.
    """
    spec = class_spec(conditions_of(shards[0]))
    if spec is None or any(isinstance(shard, SharingShard) for shard in shards):
        return {}
    return class_tensors(
        [
            [_cell(cell, of_shard, rank, components) for cell in by_class(shard, spec.classes)]
            for shard, of_shard in zip(shards, made, strict=True)
        ]
    )


def _cell(cell: ClassShard, shard: ShardGaussians, rank: int, components: int) -> ShardGaussians:
    if cell.count == 0:
        return shard
    if cell.count >= (rank + 2 if rank > 0 else 2 * components if components > 1 else 1):
        return shrunk(fit_gaussians(cell, rank=rank, components=components), cell.count, shard)
    one = fit_gaussians(cell, rank=0, components=1)
    if rank > 0:
        return evolve(shard, means=one.means)
    same = shrunk(one, cell.count, shard)
    J = components
    return ShardGaussians(
        weights=torch.full((J,), 1.0 / J, dtype=same.weights.dtype),
        means=same.means.expand(J, -1),
        rest=same.rest.expand(J, -1),
        axes=same.axes.expand(J, -1, -1),
        variances=same.variances.expand(J, -1),
    )
