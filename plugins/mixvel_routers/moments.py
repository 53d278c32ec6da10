"""moments: the posterior of Gaussian shards in closed form; nothing is trained.

    a_k = pi_k p_t^k(x) / sum_j pi_j p_t^j(x),

where p_t^k is the density (D3) of one Gaussian of shard k, with its r leading principal components and one variance for
the rest (``rank``) or a variance of each coordinate (``rank: 0``), or of J such (``components``). At t = 1, where
alpha = 0, a is pi exactly. A shard shares its count and (r + 2) D or 2 J D numbers; principal components and
components show more of its items than mean and variance do.

Under a class c it is p(k | x, c), proportional to p(k | c) p_t^kc(x), with Gaussians of the cells (k, c) (``cells``).
Where items are with their owners there are no cells: then it is proportional to p(k | c) p_t^k(x).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self

import torch
from attrs import evolve, frozen
from torch import Tensor

from mixvel_core.errors import DataError
from mixvel_core.field.class_gaussians import ClassGaussians, RowGaussians, class_gaussians
from mixvel_core.field.gaussian_fit import check_fit, fit_gaussians, gaussian_of_moments, leading
from mixvel_core.field.gaussians import Gaussians, ShardGaussians, gaussians_of_tensors
from mixvel_core.field.guess import gaussian_guess
from mixvel_core.protocols import Condition, Guess, NoiseSchedule, RouterConfig, Shard, SharingShard, TrainTask
from mixvel_routers.cells import cell_tensors
from mixvel_routers.class_prior import ReadsClass, class_prior
from mixvel_routers.closed_form_options import MomentsOptions
from mixvel_routers.fixed import log_prior

if TYPE_CHECKING:
    from mixvel_core.types import Points, Times, Weights


@frozen(kw_only=True, eq=False)
class ClosedForm(ReadsClass):
    """A router by Gaussians of the shards, or of their cells under a class.

    ``log_pi``: (K,) float64. ``gaussians``: of the shards; None where it does without. ``cells``: those of the classes,
    None where there are none. ``of_rows``: those of the points under a condition.
    """

    log_pi: Tensor
    gaussians: Gaussians | None
    schedule: NoiseSchedule
    cells: ClassGaussians | None = None
    of_rows: RowGaussians | None = None

    def given(self, condition: Condition) -> Self:
        """The router of ``condition.values["class"]``, row by row. Raises UsageError for what is no class."""
        made = super().given(condition)
        if made.classes is None or self.cells is None:
            return made
        return evolve(made, of_rows=self.cells.of_rows(made.classes))

    @property
    def seen(self) -> Gaussians | RowGaussians | None:
        """What points are compared with."""
        return self.of_rows or self.gaussians

    def log_prior(self, x: Tensor) -> Tensor:
        """log pi, (K,), or log p(k | c) of each row, (B, K), float64 on the device of x."""
        rows = self.prior_rows(x)
        return self.log_pi.to(x.device) if rows is None else rows.log()

    def guess(self, x: Points) -> Guess | None:
        """The denoisers of the Gaussians, where there are some; under a class those of its cells alone."""
        if self.of_rows is not None:
            return self.of_rows.guess(x)
        # Of an expert under a class its shard's Gaussian is no guess, which would be exact at t = 1.
        return None if self.gaussians is None or self.classes is not None else gaussian_guess(self.gaussians, x)


@frozen(kw_only=True, eq=False)
class MomentsRouter(ClosedForm):
    """a(x, t) of K shards taken for ``gaussians``."""

    gaussians: Gaussians

    def start(self, x: Points, t: Times) -> None:
        """Returns None: the router keeps no state."""

    def weights(self, x: Points, t: Times, state: None) -> tuple[Weights, None]:
        """The posterior at (x, t), (B, K)."""
        seen = self.of_rows or self.gaussians
        logits = self.log_prior(x) + seen.log_density(x, self.schedule.at(t.double()))
        return logits.softmax(1).to(x.dtype), None


@frozen(kw_only=True)
class MomentsFamily(MomentsOptions):
    """Each shard's Gaussians are made of its own items alone."""

    def tasks(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> Mapping[str, TrainTask]:
        """No networks to train: the posterior is in closed form."""
        return {}

    def check(self, shards: Sequence[Shard]) -> None:
        """Raises DataError where a shard has too few items or numbers; reads no items."""
        check_shards(self, shards, "router moments")

    def tensors(self, shards: Sequence[Shard], trained: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """The fields of ``ShardGaussians``, (K, ...), float32, and of cells, (K, C, ...), where items have a class.

        Raises DataError as ``check`` does.
        """
        return gaussian_tensors(self, shards, "router moments")

    def load(self, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> MomentsRouter:
        """The router with the fractions of ``config``, on the device of ``tensors``."""
        gaussians = gaussians_of_tensors(tensors)
        return MomentsRouter(
            log_pi=log_prior(config.fractions),
            gaussians=gaussians,
            schedule=schedule,
            cells=class_gaussians(tensors, gaussians),
            by_class=class_prior(config),
        )


def check_shards(options: MomentsOptions, shards: Sequence[Shard], where: str) -> None:
    """Raises DataError, beginning with ``where``, where a shard cannot be taken for these Gaussians."""
    rank = options.rank_for(shards)
    for shard in shards:
        if isinstance(shard, SharingShard):
            _of_owner(shard, shard.index, rank, options.components, where)
        else:
            check_fit(shard, rank, options.components, where)


def gaussian_tensors(options: MomentsOptions, shards: Sequence[Shard], where: str) -> dict[str, Tensor]:
    """The fields of ``ShardGaussians`` of all shards, (K, ...), float32, and of their cells where items have a class.

    Raises DataError as ``check_shards`` does.
    """
    check_shards(options, shards, where)
    rank, components = options.rank_for(shards), options.components
    made = [
        _of_owner(shard, shard.index, rank, components, where)
        if isinstance(shard, SharingShard)
        else fit_gaussians(shard, rank=rank, components=components)
        for shard in shards
    ]
    parts = [one.tensors() for one in made]
    stacked = {name: torch.stack([part[name] for part in parts]) for name in parts[0]}
    return {**stacked, **cell_tensors(shards, made, rank, components)}


def _of_owner(shard: SharingShard, k: int, rank: int, components: int, where: str) -> ShardGaussians:
    """Shard ``k``, whose items are with their owner. Raises DataError where these Gaussians are not shared."""
    if rank == 0 and components == 1:
        if (moments := shard.shared_moments()) is not None:
            return gaussian_of_moments(moments)
        what, flag, else_ = "mean and variance", "moments", "take a router that does without"
    else:
        shared = shard.shared_gaussians()
        made = ShardGaussians(**shared) if shared is not None else None
        if made is not None and made.components == components and made.rank >= rank:
            return leading(made, rank) if rank > 0 else made
        what, flag, else_ = f"{components} k-means Gaussians", f"components={components}", "give what is shared"
        if rank > 0:
            what, flag = f"{rank} principal components", f"rank={rank}"
    raise DataError(
        f"{where}: {shard.origin} does not hold the {what} of shard {k}; ask its owner for `mixvel train --share "
        f"{flag}`, or {else_}"
    )
