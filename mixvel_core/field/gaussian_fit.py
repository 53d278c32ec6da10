"""Gaussians of a shard's items, streamed: principal components in one or two passes, k-means components in two.

Sums are taken about a pilot close to the mean, so that one pass loses nothing to cancellation. Up to ``EXACT`` numbers
an item the covariance matrix is summed and its eigenvectors are exact, in one pass. Beyond, a matrix C of D x D is too
much: the first pass sums C Omega for l = r + 10 random directions Omega, the second C Q for an orthonormal basis Q of
them, and Nystrom's formula C Q (Q^T C Q)^-1 Q^T C gives the leading eigenpairs (Halko, Martinsson and Tropp 2011,
section 5.5).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from mixvel_core.errors import DataError
from mixvel_core.field.gaussians import ShardGaussians
from mixvel_core.field.scale import to_float
from mixvel_core.randomness import key, normal, permutation, uniform

if TYPE_CHECKING:
    from mixvel_core.protocols import Moments, Shard

FLOOR = 1e-3
"""Added to the remaining variances: items that lie in few dimensions leave a density that is none."""
EXACT = 256
"""Numbers of an item up to which its covariance matrix is made."""
OVERSAMPLED = 10
"""Directions beyond r in the sketch."""
POOLED = 10.0
"""Items' worth of the pooled variance in that of a k-means component."""
_BLOCK = 1 << 22
"""Numbers of items that are in memory together."""
_LOOKED_AT = 8192
"""Items that k-means places its centres by."""
_ROUNDS = 25


def check_fit(shard: Shard, rank: int, components: int, where: str) -> None:
    """Raises DataError, beginning with ``where``, for more than the shard's items can carry; reads none of them."""
    D, whose = math.prod(shard.shape), f"the {shard.count} items of shard {shard.index}"
    if rank > 0 and rank >= min(D, shard.count):
        raise DataError(f"{where}: rank {rank} is not below {whose} and their {D} numbers; give a smaller rank")
    if components > shard.count:
        raise DataError(f"{where}: {components} components are more than {whose}; give fewer components")


def fit_gaussians(shard: Shard, *, rank: int, components: int) -> ShardGaussians:
    """The shard as one Gaussian with ``rank`` r principal components, or as J ``components`` of diagonal covariance.

    Args:
        shard: its items are read a block at a time, in their order.
        rank: r, at least 0; 0 where ``components`` > 1.
        components: J, at least 1.
    """
    if components > 1:
        return _by_k_means(shard, components)
    return _principal(shard, rank) if rank > 0 else _diagonal(shard)


def gaussian_of_moments(moments: Moments) -> ShardGaussians:
    """The Gaussian of a shard of which mean and variance are known."""
    mean, variance = moments.mean.double().flatten(), moments.variance.double().flatten()
    return _one(mean, variance.clamp_min(0.0) + FLOOR, mean.new_zeros(len(mean), 0), mean.new_zeros(0))


def leading(gaussian: ShardGaussians, rank: int) -> ShardGaussians:
    """One Gaussian of r principal components with its first ``rank`` of them, 1..r; the others join the rest."""
    r, D = gaussian.rank, gaussian.means.shape[1]
    if rank == r:
        return gaussian
    left = (D - r) * (gaussian.rest[0, 0] - FLOOR) + gaussian.variances[0, rank:].sum()
    rest = left[None] / (D - rank) + FLOOR
    return _one(gaussian.means[0], rest, gaussian.axes[0, :, :rank], gaussian.variances[0, :rank])


def _blocks(shard: Shard) -> Iterator[Tensor]:
    """The items in order, (b, D) float64."""
    items, rows = shard.items, max(1, _BLOCK // math.prod(shard.shape))
    for start in range(0, shard.count, rows):
        yield torch.from_numpy(to_float(items[start : start + rows]).astype(np.float64)).flatten(1)


def _pilot(shard: Shard) -> Tensor:
    """A point close to the mean, (D,): of the first block."""
    return next(_blocks(shard)).mean(0)


def _one(mean: Tensor, rest: Tensor, axes: Tensor, variances: Tensor) -> ShardGaussians:
    return ShardGaussians(
        weights=mean.new_ones(1), means=mean[None], rest=rest[None], axes=axes[None], variances=variances[None]
    )


def _diagonal(shard: Shard) -> ShardGaussians:
    """Mean and variance of each coordinate, in one pass over the items."""
    pilot = _pilot(shard)
    total, square = torch.zeros_like(pilot), torch.zeros_like(pilot)
    for block in _blocks(shard):
        d = block - pilot
        total += d.sum(0)
        square += (d * d).sum(0)
    off = total / shard.count
    variance = (square / shard.count - off * off).clamp_min(0.0)
    return _one(pilot + off, variance + FLOOR, pilot.new_zeros(len(pilot), 0), pilot.new_zeros(0))


def _principal(shard: Shard, rank: int) -> ShardGaussians:
    pilot = _pilot(shard)
    D = len(pilot)
    exact = D <= EXACT
    size = D if exact else min(D, rank + OVERSAMPLED)
    directions = torch.eye(D, dtype=torch.float64) if exact else _random(D, size)
    mean, trace, sketch = _covariance_times(shard, pilot, directions)
    if exact:
        values, vectors = torch.linalg.eigh(sketch)
        values, axes = values.flip(0), vectors.flip(1)
    else:
        basis, _ = torch.linalg.qr(sketch)
        _, _, image = _covariance_times(shard, mean, basis)
        values, axes = _nystrom(basis, image)
    variances = values[:rank]
    rest = (trace - variances.sum()).clamp_min(0.0) / (D - rank) + FLOOR
    return _one(mean, rest[None], axes[:, :rank], variances.clamp_min(FLOOR))


def _random(D: int, size: int) -> Tensor:
    """Directions Omega, (D, size), the same for every shard."""
    return normal(key(0, "principal components"), torch.arange(D), (size,), torch.float64)


def _covariance_times(shard: Shard, pilot: Tensor, directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The mean (D,), the trace of the covariance C () and C times the directions, (D, l): one pass."""
    total, square = torch.zeros_like(pilot), pilot.new_zeros(())
    image = torch.zeros_like(directions)
    for block in _blocks(shard):
        d = block - pilot
        total += d.sum(0)
        square += (d * d).sum()
        image += d.T @ (d @ directions)
    off = total / shard.count
    return pilot + off, square / shard.count - off @ off, image / shard.count - torch.outer(off, off @ directions)


def _nystrom(basis: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, falling, and eigenvectors of C from Q and C Q, (D, l)."""
    # A shift of the size of rounding keeps the small matrix positive definite; it is taken off again.
    shift = math.sqrt(len(basis)) * torch.finfo(torch.float64).eps * torch.linalg.matrix_norm(image, 2)
    shifted = image + shift * basis
    inner = basis.T @ shifted
    root = torch.linalg.cholesky(0.5 * (inner + inner.T))
    factor = torch.linalg.solve_triangular(root, shifted.T, upper=False).T
    vectors, values, _ = torch.linalg.svd(factor, full_matrices=False)
    return (values**2 - shift).clamp_min(0.0), vectors


def _by_k_means(shard: Shard, components: int) -> ShardGaussians:
    """Centres by k-means on at most ``_LOOKED_AT`` items, then all items to their nearest centre in one pass."""
    centres = _centres(shard, components)
    count = centres.new_zeros(components)
    total, square = torch.zeros_like(centres), torch.zeros_like(centres)
    for block in _blocks(shard):
        home = _nearest(block, centres)
        d = block - centres[home]
        count.index_add_(0, home, torch.ones_like(block[:, 0]))
        total.index_add_(0, home, d)
        square.index_add_(0, home, d * d)
    held = count.clamp_min(1.0)[:, None]
    off = total / held
    variance = (square / held - off * off).clamp_min(0.0)
    pooled = (count[:, None] * variance).sum(0) / count.sum()
    rest = (count[:, None] * variance + POOLED * pooled) / (count[:, None] + POOLED) + FLOOR
    D = centres.shape[1]
    return ShardGaussians(
        weights=count / count.sum(),
        means=centres + off,
        rest=rest,
        axes=centres.new_zeros(components, D, 0),
        variances=centres.new_zeros(components, 0),
    )


def _centres(shard: Shard, components: int) -> Tensor:
    """(J, D): k-means++ (Arthur and Vassilvitskii 2007) and Lloyd's rounds, the same for the same items."""
    most = max(components, min(_LOOKED_AT, _BLOCK // math.prod(shard.shape)))
    root = key(0, "components", shard.index)
    rows = permutation(root, shard.count, 0)[:most].sort().values
    items = torch.from_numpy(to_float(shard.items[rows.numpy()]).astype(np.float64)).flatten(1)
    first = int(uniform(root, 0) * len(items))
    centres = items[first : first + 1]
    distance = (items - centres[0]).square().sum(1)
    for j in range(1, components):
        # Items that are centres already have no chance; where all items are centres, any will do.
        mass = distance.cumsum(0)
        place = int(torch.searchsorted(mass, uniform(root, j) * mass[-1])) if mass[-1] > 0 else j
        new = items[min(place, len(items) - 1)]
        centres = torch.cat([centres, new[None]])
        distance = torch.minimum(distance, (items - new).square().sum(1))
    for _ in range(_ROUNDS):
        home = _nearest(items, centres)
        count = centres.new_zeros(components).index_add_(0, home, torch.ones_like(items[:, 0]))
        moved = torch.zeros_like(centres).index_add_(0, home, items) / count.clamp_min(1.0)[:, None]
        # A centre without items stays where it is.
        moved = torch.where(count[:, None] > 0, moved, centres)
        if torch.equal(moved, centres):
            break
        centres = moved
    return centres


def _nearest(items: Tensor, centres: Tensor) -> Tensor:
    """The centre of each item, (n,)."""
    return ((centres * centres).sum(1) - 2.0 * items @ centres.T).argmin(1)
