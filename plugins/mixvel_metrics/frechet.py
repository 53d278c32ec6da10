"""The Frechet distance between Gaussians fitted to the features of two sets of items."""

from __future__ import annotations

import numpy as np
from attrs import frozen

from mixvel_core.protocols import Score
from mixvel_metrics.features import FeatureName, FeatureSpace, feature_space
from mixvel_metrics.item_sets import check_sets, conditions
from mixvel_metrics.moments import Gaussian, Moments

BLOCK = 256
"""Items whose features are held at a time."""


@frozen(kw_only=True)
class Frechet:
    """The squared Frechet distance in a named feature space.

    It is not FID: that name belongs to the features of one trained network, at one resolution.
    """

    features: FeatureName = "pixels"

    def score(self, samples: np.ndarray, reference: np.ndarray) -> Score:
        """||mu_1 - mu_2||^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2)), ``samples`` (n, *data), ``reference`` (m, *data).

        With few items it is biased upwards, so it is comparable at equal n and m only.

        Raises:
            SamplingError, DataError: see ``check_sets`` and ``feature_space``; two items a set are the least.
        """
        name = f"frechet-{self.features}"
        check_sets(name, samples, reference, least=2)
        space = feature_space(self.features, samples.shape[1:])
        value = squared_frechet(fit(space, samples), fit(space, reference))
        stated = {**conditions(samples, reference, space.description), "quantity": "squared distance"}
        return Score(name=name, value=value, conditions=stated)


def fit(space: FeatureSpace, items: np.ndarray) -> Gaussian:
    """The Gaussian with the mean and covariance of the features of items (n, *data), n >= 2."""
    moments = Moments(dimension=space.dimension)
    for start in range(0, len(items), BLOCK):
        moments.update(space.of(items[start : start + BLOCK]))
    return moments.finish()


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
