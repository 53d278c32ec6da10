"""moments: the posterior of Gaussian shards in closed form; nothing is trained.

    a_k = pi_k p_t^k(x) / sum_j pi_j p_t^j(x),

where p_t^k is the density (D3) of one Gaussian of shard k, with its r leading principal components and one variance for
the rest (``rank``) or a variance of each coordinate (``rank: 0``), or of J such (``components``). At t = 1, where
alpha = 0, a is pi exactly. A shard shares its count and (r + 2) D or 2 J D numbers; principal components and
components show more of its items than mean and variance do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.errors import DataError
from mixvel_core.field.gaussian_fit import check_fit, fit_gaussians, gaussian_of_moments
from mixvel_core.field.gaussians import Gaussians, gaussians_of_tensors
from mixvel_core.protocols import NoiseSchedule, RouterConfig, Shard, SharingShard, TrainTask
from mixvel_routers.closed_form_options import MomentsOptions

if TYPE_CHECKING:
    from mixvel_core.types import Points, Times, Weights


@frozen(kw_only=True, eq=False)
class MomentsRouter:
    """a(x, t) of K shards taken for ``gaussians``; ``log_pi``: (K,) float64."""

    log_pi: Tensor
    gaussians: Gaussians
    schedule: NoiseSchedule

    def start(self, x: Points, t: Times) -> None:
        """Returns None: the router keeps no state."""

    def weights(self, x: Points, t: Times, state: None) -> tuple[Weights, None]:
        """The posterior at (x, t), (B, K)."""
        logits = self.log_pi.to(x.device) + self.gaussians.log_density(x, self.schedule.at(t.double()))
        return logits.softmax(1).to(x.dtype), None


@frozen(kw_only=True)
class MomentsFamily(MomentsOptions):
    """Each shard's Gaussians are made of its own items alone."""

    def tasks(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> Mapping[str, TrainTask]:
        """Nothing is trained."""
        return {}

    def check(self, shards: Sequence[Shard]) -> None:
        """Raises DataError where a shard has too few items or numbers; reads no items."""
        check_shards(self, shards, "router moments")

    def tensors(self, shards: Sequence[Shard], trained: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """The fields of ``ShardGaussians``, (K, ...), float32. Raises DataError as ``check`` does."""
        return gaussian_tensors(self, shards, "router moments")

    def load(self, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> MomentsRouter:
        """The router with the fractions of ``config``, on the device of ``tensors``."""
        return MomentsRouter(log_pi=log_fractions(config), gaussians=gaussians_of_tensors(tensors), schedule=schedule)


def check_shards(options: MomentsOptions, shards: Sequence[Shard], where: str) -> None:
    """Raises DataError, beginning with ``where``, where a shard cannot be taken for these Gaussians."""
    rank = options.rank_for(shards)
    for shard in shards:
        if not isinstance(shard, SharingShard):
            check_fit(shard, rank, options.components, where)
        elif shard.shared_moments() is None:
            raise DataError(
                f"{where}: the moments of shard {shard.index} are not shared; ask its owner for them "
                "(`mixvel train --share moments`), or take a router that does without"
            )
        elif rank > 0 or options.components > 1:
            raise DataError(
                f"{where}: of shard {shard.index} mean and variance are shared and no more; leave out `rank` and "
                "`components`"
            )


def gaussian_tensors(options: MomentsOptions, shards: Sequence[Shard], where: str) -> dict[str, Tensor]:
    """The fields of ``ShardGaussians`` of all shards, (K, ...), float32. Raises DataError as ``check_shards`` does."""
    check_shards(options, shards, where)
    rank = options.rank_for(shards)
    parts = []
    for shard in shards:
        moments = shard.shared_moments() if isinstance(shard, SharingShard) else None
        made = gaussian_of_moments(moments) if moments else None
        parts.append((made or fit_gaussians(shard, rank=rank, components=options.components)).tensors())
    return {name: torch.stack([part[name] for part in parts]) for name in parts[0]}


def log_fractions(config: RouterConfig) -> Tensor:
    """log pi, (K,) float64."""
    pi = torch.tensor(config.fractions, dtype=torch.float64)
    return (pi / pi.sum()).log()
