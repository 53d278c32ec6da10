"""moments: the posterior of one Gaussian a shard, in closed form; nothing is trained.

Shard k is taken for N(mu_k, U diag(lambda) U^T + rho (I - U U^T)): its mean, its r leading principal components, and
the mean of the remaining variances. With d = x - alpha mu_k, z = U^T d, c_j = alpha^2 lambda_j + sigma^2 and
c_0 = alpha^2 rho + sigma^2,

    logit_k = log pi_k - 1/2 [ sum_j (z_j^2/c_j + log c_j) + (|d|^2 - |z|^2)/c_0 + (D - r) log c_0 ],

which is D3's density with that covariance. At t = 1, where alpha = 0, a is pi exactly. A shard shares its count, its
mean and (r + 1) D further numbers; principal components show more of its items than variances do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.errors import DataError
from mixvel_core.field.scale import to_float
from mixvel_core.protocols import NoiseSchedule, RouterConfig, Shard, TrainTask

if TYPE_CHECKING:
    from mixvel_core.types import Points, Times, Weights

FLOOR = 1e-3
"""Added to the mean of the remaining variances: items that lie in few dimensions leave a density that is none."""
LARGEST = 1 << 14
"""Numbers of an item beyond which a covariance matrix, of their square, is too large."""
_BLOCK = 4096
_AT_ONCE = 1 << 25
"""Numbers of (experts, points, D) that are in memory together."""


@frozen(kw_only=True, eq=False)
class MomentsRouter:
    """a(x, t) of K Gaussians; computed in float64, because log densities of many dimensions are differences of large
    numbers.

    ``log_pi``: (K,). ``mean``: mu, (K, D). ``axes``: U, (K, D, r). ``variances``: lambda, (K, r). ``rest``: rho, (K,).
    """

    log_pi: Tensor
    mean: Tensor
    axes: Tensor
    variances: Tensor
    rest: Tensor
    schedule: NoiseSchedule

    def start(self, x: Points, t: Times) -> None:
        """Returns None: the router keeps no state."""

    def weights(self, x: Points, t: Times, state: None) -> tuple[Weights, None]:
        """The posterior at (x, t), (B, K)."""
        p = self.schedule.at(t.double())
        alpha, sigma2 = p.alpha, p.sigma**2
        flat = x.flatten(1).double()
        logits = torch.cat([self._log_density(flat, alpha, sigma2, some) for some in self._groups(flat)], dim=1)
        return (self.log_pi + logits).softmax(1).to(x.dtype), None

    def _groups(self, flat: Tensor) -> Iterator[slice]:
        """Experts a few at a time, so that memory is bounded."""
        step = max(1, _AT_ONCE // flat.numel())
        return (slice(k, k + step) for k in range(0, len(self.mean), step))

    def _log_density(self, flat: Tensor, alpha: Tensor, sigma2: Tensor, some: slice) -> Tensor:
        """log p_t^k(x) up to what all experts share, (B, some)."""
        d = flat - alpha[:, None] * self.mean[some, None]  # (some, B, D)
        z = d @ self.axes[some]  # (some, B, r)
        c = (alpha**2)[:, None] * self.variances[some, None] + sigma2[:, None]
        c_0 = alpha**2 * self.rest[some, None] + sigma2  # (some, B)
        left = ((d * d).sum(-1) - (z * z).sum(-1)).clamp_min(0.0)
        free = flat.shape[1] - self.axes.shape[2]
        return -0.5 * ((z * z / c + c.log()).sum(-1) + left / c_0 + free * c_0.log()).T


@frozen(kw_only=True)
class MomentsFamily:
    """``rank``: r, the principal components of each shard; 0: one variance a shard."""

    rank: int = 8

    def tasks(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> Mapping[str, TrainTask]:
        """Nothing is trained."""
        return {}

    def tensors(self, shards: Sequence[Shard], trained: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """Means, axes and variances of the shards, each from its own items alone, float32."""
        made = [gaussian_of(shard, self.rank) for shard in shards]
        names = ("mean", "axes", "variances", "rest")
        return {name: torch.stack([one[i] for one in made]).float() for i, name in enumerate(names)}

    def load(self, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> MomentsRouter:
        """The router with the fractions of ``config``."""
        made = {name: tensor.double() for name, tensor in tensors.items()}
        pi = torch.tensor(config.fractions, dtype=torch.float64, device=made["mean"].device)
        return MomentsRouter(log_pi=(pi / pi.sum()).log(), schedule=schedule, **made)


def gaussian_of(shard: Shard, rank: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The mean (D,), leading axes (D, r), their variances (r,) and the mean of the remaining variances, float64.

    Two passes over the items, a block at a time.

    Raises:
        DataError: an item has more than LARGEST numbers, or ``rank`` is not below that number and the count of items.
    """
    D = math.prod(shard.shape)
    if D > LARGEST:
        raise DataError(f"router moments: items of {D} numbers, more than {LARGEST}; take a smaller resolution")
    if rank >= min(D, shard.count) and rank > 0:
        raise DataError(
            f"router moments: rank {rank} is not below the {shard.count} items of shard {shard.index} and their {D} "
            "numbers; give a smaller rank"
        )
    blocks = [slice(start, start + _BLOCK) for start in range(0, shard.count, _BLOCK)]
    mean = torch.zeros(D, dtype=torch.float64)
    for block in blocks:
        mean += _rows(shard, block).sum(0) / shard.count
    covariance = torch.zeros(D, D, dtype=torch.float64)
    for block in blocks:
        centred = _rows(shard, block) - mean
        covariance += centred.T @ centred / shard.count
    values, vectors = torch.linalg.eigh(covariance)
    variances = values.flip(0)[:rank].clamp_min(0.0)
    rest = (values.sum() - variances.sum()).clamp_min(0.0) / (D - rank) + FLOOR
    return mean, vectors.flip(1)[:, :rank], variances, rest


def _rows(shard: Shard, block: slice) -> Tensor:
    return torch.from_numpy(to_float(shard.items[block]).astype(np.float64)).flatten(1)
