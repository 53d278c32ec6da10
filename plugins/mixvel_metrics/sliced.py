"""Sliced Wasserstein-2: the mean over random directions of the distance between shadows, in closed form."""

from __future__ import annotations

import numpy as np
import torch
from attrs import frozen

from mixvel_core.protocols import Score
from mixvel_core.protocols.items import Items
from mixvel_core.randomness import key, normal
from mixvel_metrics.item_sets import check_sets, conditions, flat

NAME = "sliced-w2"


@frozen(kw_only=True)
class SlicedWasserstein2:
    """Sliced W_2 between two sets of items of equal weight each.

    ``projections``: the number of directions. ``seed``: the key of the directions, the same for every score.
    """

    projections: int = 256
    seed: int = 0

    def score(self, samples: Items, reference: Items) -> Score:
        """sqrt(mean over directions of W_2^2 of the shadows), ``samples`` (n, *data), ``reference`` (m, *data).

        Over all directions it is at most the exact W_2 divided by sqrt(D); in one dimension it is the exact W_2.

        Raises:
            SamplingError, DataError: see ``check_sets``.
        """
        check_sets(NAME, samples, reference)
        x, y = flat(samples), flat(reference)
        u = directions(self.seed, self.projections, x.shape[1])
        squares = squared_wasserstein_2_sorted(np.sort(x @ u.T, axis=0), np.sort(y @ u.T, axis=0))
        return Score(
            name=NAME,
            value=float(np.sqrt(squares.mean())),
            conditions={
                **conditions(samples, reference, "pixels"),
                "projections": f"{self.projections} (seed {self.seed})",
            },
        )


def directions(seed: int, count: int, dimension: int) -> np.ndarray:
    """Unit vectors spread evenly over the sphere, (count, dimension), float64."""
    u = normal(key(seed, NAME), torch.arange(count), (dimension,), torch.float64).numpy()
    return np.asarray(u / np.linalg.norm(u, axis=1, keepdims=True))


def squared_wasserstein_2_sorted(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """W_2^2 of each column of x (n, P) from the same column of y (m, P), both sorted along the columns.

    In one dimension the best coupling joins equal quantiles. Both quantile functions are steps, so their
    squared difference integrates to a finite sum over the n + m - gcd(n, m) intervals where neither jumps.
    """
    n, m = len(x), len(y)
    # The ends of the intervals, in units of 1/(n m) so that common ones coincide exactly.
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    widths = np.diff(ends, prepend=0) / (n * m)
    return np.asarray(widths @ (x[(ends - 1) // m] - y[(ends - 1) // n]) ** 2)
