"""The Frechet distance between two Gaussians."""

from __future__ import annotations

import numpy as np

from mixvel_metrics.moments import Gaussian


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
