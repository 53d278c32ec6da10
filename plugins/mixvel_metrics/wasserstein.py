"""Exact and sliced Wasserstein-2 between samples and data."""

from __future__ import annotations

import numpy as np
import torch
from attrs import frozen

from mixvel_core.field.transport import wasserstein_2
from mixvel_core.protocols import Score
from mixvel_core.protocols.data import Items
from mixvel_core.randomness import key, normal
from mixvel_metrics.features import check_sets, conditions, flat

W2 = "w2"


@frozen(kw_only=True)
class Wasserstein2:
    """W_2 between two sets of items of equal weight each, in the Euclidean norm of all their values.

    ``max_count``: the most items compared on each side, the first ones; the table of costs has its square.
    """

    max_count: int = 2000

    def score(self, samples: Items, reference: Items) -> Score:
        """sqrt(min over couplings of E ||x - y||^2), from ``samples`` (n, *data) to ``reference`` (m, *data).

        It depends on n and m: two independent sets of one law are not at distance zero.

        Raises:
            SamplingError, DataError: see ``check_sets``.
        """
        check_sets(W2, samples, reference)
        x, y = samples[: self.max_count], reference[: self.max_count]
        stated = conditions(x, y, "pixels")
        for name, cut, items in (("samples", x, samples), ("reference", y, reference)):
            if len(cut) < len(items):
                stated[name] = f"the first {len(cut)}"
        return Score(name=W2, value=wasserstein_2(flat(x), flat(y)), conditions=stated)


SLICED_W2 = "sliced-w2"


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
        check_sets(SLICED_W2, samples, reference)
        x, y = flat(samples), flat(reference)
        u = directions(self.seed, self.projections, x.shape[1])
        squares = squared_wasserstein_2_sorted(np.sort(x @ u.T, axis=0), np.sort(y @ u.T, axis=0))
        return Score(
            name=SLICED_W2,
            value=float(np.sqrt(squares.mean())),
            conditions={
                **conditions(samples, reference, "pixels"),
                "projections": f"{self.projections} (seed {self.seed})",
            },
        )


def directions(seed: int, count: int, dimension: int) -> np.ndarray:
    """Unit vectors spread evenly over the sphere, (count, dimension), float64."""
    u = normal(key(seed, SLICED_W2), torch.arange(count), (dimension,), torch.float64).numpy()
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
