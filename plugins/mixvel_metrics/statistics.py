"""Statistics of sets of features: moments, squared Frechet distance, kernel distance (KID), precision and recall."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from attrs import frozen
from torch import Tensor


@frozen(kw_only=True)
class Gaussian:
    """``mean`` (D,) and ``covariance`` (D, D), float64."""

    mean: np.ndarray
    covariance: np.ndarray


def fit_blocks(blocks: Iterable[np.ndarray], dimension: int) -> Gaussian:
    """The Gaussian with the mean and the unbiased covariance (divided by n - 1) of the rows of all blocks, (n, D).

    Mean and scatter are merged block by block (Chan, Golub & LeVeque 1979): no large sums cancel. How rows are split
    into blocks does not matter, up to rounding. Raises ValueError for fewer than two rows.
    """
    count, mean, scatter = 0, np.zeros(dimension), np.zeros((dimension, dimension))
    for block in filter(len, blocks):
        rows = block.astype(np.float64, copy=False)
        total = count + len(rows)
        own = rows.mean(axis=0)
        shift, centred = own - mean, rows - own
        scatter += centred.T @ centred + np.outer(shift, shift) * (count * len(rows) / total)
        mean = mean + shift * (len(rows) / total)
        count = total
    if count < 2:
        raise ValueError(f"a covariance takes two rows at least, not {count}")
    return Gaussian(mean=mean, covariance=scatter / (count - 1))


def squared_frechet(p: Gaussian, q: Gaussian) -> float:
    """The squared Wasserstein-2 distance between two Gaussians, which may be degenerate."""
    shift = p.mean - q.mean
    # tr (S_1 S_2)^(1/2) = tr (A S_2 A)^(1/2) with A = S_1^(1/2); that is the sum of the singular values of A B
    # with B = S_2^(1/2). Taken so, no root is drawn of a rounded zero: with fewer items than features, most
    # eigenvalues of A S_2 A for like sets are zeros wrong by 1e-16, and their roots would be wrong by 1e-8.
    overlap = np.linalg.svd(_root(p.covariance) @ _root(q.covariance), compute_uv=False).sum()
    spread = np.trace(p.covariance) + np.trace(q.covariance) - 2 * overlap
    # Rounding may leave the distance of equal Gaussians a hair below zero.
    return max(0.0, float(shift @ shift + spread))


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root of a symmetric positive semi-definite matrix."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.sqrt(values.clip(min=0))) @ vectors.T)


KERNEL_ROWS, KERNEL_COLUMNS = 1024, 8192
"""Size of the part of the kernel matrix that is in memory at a time."""


def kernel_distance(x: np.ndarray, y: np.ndarray, within_y: float | None = None) -> float:
    """The unbiased estimate of MMD^2 between the laws of features x (n, D) and y (m, D), n, m >= 2.

    The kernel is (x . y / D + 1)^3. All pairs are used, not random subsets of them: the value of subsets of size n is
    this value plus noise. It may be below zero where the laws are alike. ``within_y``: ``mean_kernel`` of y, if it is
    known already.
    """
    n, m = len(x), len(y)
    return float(mean_kernel(x) + (mean_kernel(y) if within_y is None else within_y) - 2 * _total(x, y) / (n * m))


def mean_kernel(x: np.ndarray) -> float:
    """The mean of the kernel over all pairs of different rows of x (n, D), n >= 2."""
    n = len(x)
    return (_total(x, x) - _diagonal(x)) / (n * (n - 1))


def _total(x: np.ndarray, y: np.ndarray) -> float:
    """The sum of the kernel over all pairs, in float64."""
    parts = (
        x[i : i + KERNEL_ROWS].astype(np.float64) @ y[j : j + KERNEL_COLUMNS].astype(np.float64).T
        for j in range(0, len(y), KERNEL_COLUMNS)
        for i in range(0, len(x), KERNEL_ROWS)
    )
    return sum(float(_kernel(part, x.shape[1]).sum()) for part in parts)


def _diagonal(x: np.ndarray) -> float:
    squares = np.einsum("nd,nd->n", x, x, dtype=np.float64)
    return float(_kernel(squares, x.shape[1]).sum())


def _kernel(products: np.ndarray, dimension: int) -> np.ndarray:
    return np.asarray((products / dimension + 1.0) ** 3)


NEIGHBOURS = 3
DISTANCE_ROWS = 2048
"""Rows of the table of distances that are in memory at a time."""


def precision_recall(
    samples: np.ndarray, reference: np.ndarray, reference_radii: Tensor | None = None
) -> tuple[float, float]:
    """Precision and recall of features ``samples`` (n, D) against ``reference`` (m, D), n, m > 3.

    A point is covered by a set if it lies no further from some member than that member's third nearest neighbour in
    the set. Precision is the share of samples that the reference covers, recall the share of the reference that the
    samples cover. Both grow with n and m, so they are comparable at equal counts only. ``reference_radii``: those of
    ``radii``, if they are known already.
    """
    x, y = torch.from_numpy(samples), torch.from_numpy(reference)
    return _covered(x, y, radii(y) if reference_radii is None else reference_radii), _covered(y, x, radii(x))


def radii(x: Tensor) -> Tensor:
    """The distance of each row of x (n, D) from its third nearest neighbour among the others, (n,)."""
    # One more: each row is its own nearest. Exact distances: the fast form cannot tell close points apart.
    parts = [_distances(block, x).kthvalue(NEIGHBOURS + 1, dim=1).values for block in torch.split(x, DISTANCE_ROWS)]
    return torch.cat(parts)


def _covered(x: Tensor, members: Tensor, reach: Tensor) -> float:
    inside = [(_distances(block, members) <= reach).any(dim=1) for block in torch.split(x, DISTANCE_ROWS)]
    return float(torch.cat(inside).double().mean())


def _distances(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
