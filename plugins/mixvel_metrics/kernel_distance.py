"""The kernel distance (KID, Binkowski et al. 2018): squared maximum mean discrepancy of features, unbiased."""

from __future__ import annotations

import numpy as np

ROWS = 1024
"""Rows of the kernel matrix held at a time."""


def kernel_distance(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimate of MMD^2 between the laws of features x (n, D) and y (m, D), n, m >= 2.

    The kernel is (x . y / D + 1)^3. All pairs are used, not random subsets of them: the value of subsets of size n is
    this value plus noise. It may be below zero where the laws are alike.
    """
    n, m = len(x), len(y)
    within_x = (_total(x, x) - _diagonal(x)) / (n * (n - 1))
    within_y = (_total(y, y) - _diagonal(y)) / (m * (m - 1))
    return float(within_x + within_y - 2 * _total(x, y) / (n * m))


def _total(x: np.ndarray, y: np.ndarray) -> float:
    """The sum of the kernel over all pairs, in float64."""
    y = y.astype(np.float64, copy=False)
    blocks = (x[start : start + ROWS].astype(np.float64, copy=False) for start in range(0, len(x), ROWS))
    return sum(float(_kernel(block @ y.T, x.shape[1]).sum()) for block in blocks)


def _diagonal(x: np.ndarray) -> float:
    squares = np.einsum("nd,nd->n", x, x, dtype=np.float64)
    return float(_kernel(squares, x.shape[1]).sum())


def _kernel(products: np.ndarray, dimension: int) -> np.ndarray:
    return np.asarray((products / dimension + 1.0) ** 3)
