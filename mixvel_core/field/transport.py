"""Exact W_2 between two sets of points, and the potentials that prove it."""

from __future__ import annotations

import numpy as np
from attrs import frozen

FEW = 256
"""Points a side up to which potentials are found in rounds of their square, which may be as many as points."""
PIVOTS = 10**9
"""The network simplex ends by itself after about n log n pivots; this is no limit that a run should meet."""


def wasserstein_2(x: np.ndarray, y: np.ndarray) -> float:
    """Exact W_2 between the points x (n, D) and y (m, D), float64, all points of a set weighing the same."""
    return solved(x, y).value


@frozen(kw_only=True, eq=False)
class Solved:
    """``value``: W_2. ``f`` (n,), ``g`` (m,): optimal potentials, f_i + g_j <= ||x_i - y_j||^2; means sum to W_2^2."""

    value: float
    f: np.ndarray
    g: np.ndarray


def solved(x: np.ndarray, y: np.ndarray) -> Solved:
    """The optimal transport between points x (n, D) and y (m, D), float64, all points of a set weighing the same."""
    costs = _squared_distances(x, y)
    return _assigned(x, y, costs) if len(x) == len(y) <= FEW else _spread(x, y, costs)


def _assigned(x: np.ndarray, y: np.ndarray, costs: np.ndarray) -> Solved:
    """Small sets of one size: some permutation is optimal."""
    from scipy.optimize import linear_sum_assignment

    _, to = linear_sum_assignment(costs)
    paid = np.take_along_axis(costs, to[:, None], axis=1)[:, 0]
    # f_i <= f_k + c(i, to k) - c(k, to k) for all k is all that potentials must fulfil: shortest paths, which exist
    # because the permutation is optimal. Bellman and Ford's rounds, few in practice, until nothing gets shorter.
    ways = costs[:, to] - paid[None, :]
    f = np.zeros(len(x))
    for _ in range(len(x)):
        shorter = (f[None, :] + ways).min(axis=1)
        if np.allclose(shorter, f, rtol=0, atol=1e-12 * (1.0 + costs.max())):
            break
        f = shorter
    g = np.empty_like(f)
    g[to] = paid - f
    # Priced by differences, which do not cancel: a set is at distance exactly zero from itself.
    return Solved(value=float(np.sqrt(((x - y[to]) ** 2).sum(axis=1).mean())), f=f, g=g)


def _spread(x: np.ndarray, y: np.ndarray, costs: np.ndarray) -> Solved:
    """Sets of any sizes: points may be divided."""
    # Two seconds of import or more, paid by those alone who need it.
    import ot

    n, m = len(x), len(y)
    plan, about = ot.emd(np.full(n, 1 / n), np.full(m, 1 / m), costs, numItermax=PIVOTS, log=True)
    i, j = np.nonzero(plan)
    value = float(np.sqrt((plan[i, j] * ((x[i] - y[j]) ** 2).sum(axis=1)).sum()))
    return Solved(value=value, f=about["u"], g=about["v"])


def _squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # By products, ten times as fast as by differences for images. What cancels, less of it after centring,
    # can only mislead the plan between couplings that cost the same to a dozen digits.
    centre = y.mean(axis=0)
    x, y = x - centre, y - centre
    squares = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1)[None, :] - 2 * x @ y.T
    return np.asarray(squares.clip(min=0))
