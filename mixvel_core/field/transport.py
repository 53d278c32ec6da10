"""W_2 between two sets of points: exact with the potentials that prove it, sliced, and with its sampling uncertainty.

The exact distance of finite sets is not that of their laws: E W_2(P_n, Q_n)^2 >= W_2(P, Q)^2 whether or not the sets
are independent, since optimal potentials of (P, Q) are feasible for (P_n, Q_n). Independent sets of the same law stay
apart by a floor of about n^(-1/D). Sets from the same noise have none: W_2(P_n, Q_n)^2 <= mean ||x_i - y_i||^2.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from attrs import frozen

from mixvel_core.protocols.data import Items

FEW = 256
"""Points a side up to which potentials are found in rounds of their square, which may be as many as points."""
PIVOTS = 10**9
"""The network simplex ends by itself after about n log n pivots; this is no limit that a run should meet."""


def wasserstein_2(x: np.ndarray, y: np.ndarray) -> float:
    """Exact W_2 between the points x (n, D) and y (m, D), float64, all points of a set weighing the same."""
    n, m = len(x), len(y)
    if n != m and max(n, m) <= FEW and max(n, m) % min(n, m) == 0:
        # A point given several times is a point divided evenly: sets of one size are solved some twenty times faster.
        x, y = x.repeat(max(m // n, 1), axis=0), y.repeat(max(n // m, 1), axis=0)
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
    return _assigned(x, y, costs) if len(x) == len(y) <= FEW else _potentials_over(x, y, costs)


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


def _potentials_over(x: np.ndarray, y: np.ndarray, costs: np.ndarray) -> Solved:
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


Kind: TypeAlias = Literal["exact", "sliced"]

EXACT_UP_TO = 2000
"""Points a side; the table of costs has its square."""
PROJECTIONS = 1024
VALUES = 1 << 22
"""Numbers of a set that are read together to be projected."""
RESAMPLES = 1000
LEVEL = 0.95


@frozen(kw_only=True)
class Transport:
    """``value``: W_2 or sliced W_2 (``kind``). ``low``, ``high``: a 95% interval, by bootstrap. ``n``: points a side.

    Sliced W_2 is at most W_2 / sqrt(D), so it bounds W_2 from below.
    """

    value: float
    low: float
    high: float
    kind: Kind
    n: tuple[int, int]


def transport(
    x: np.ndarray, y: np.ndarray, *, paired: bool = False, seed: int = 0, exact_up_to: int = EXACT_UP_TO
) -> Transport:
    """W_2 with an interval: exact while both sets are small enough, sliced beyond.

    The interval of the exact distance is that of the optimal potentials' means, W_2^2 = mean f(x_i) + mean g(y_j),
    resampled: its limit law is theirs (del Barrio and Loubes 2019). Solving again for resampled sets would measure
    something else, for points drawn twice push the distance up. It is the fluctuation of W_2(P_n, Q_n) around its
    mean, not the distance of that mean from W_2(P, Q): for this see the floor. The interval of a sliced distance is
    that of the directions alone.

    Args:
        x: (n, *data).
        y: (m, *data).
        paired: x_i and y_i come from the same noise and are resampled together; n = m.
        seed: of resampling and projections.
        exact_up_to: points a side.
    """
    x, y = (np.asarray(z, dtype=np.float64).reshape(len(z), -1) for z in (x, y))
    sizes = (len(x), len(y))
    rng = np.random.default_rng(seed)
    if max(sizes) > exact_up_to:
        squares = sliced_squares(x, y, directions(x.shape[1], PROJECTIONS, seed))
        again = squares[rng.integers(len(squares), size=(RESAMPLES, len(squares)))].mean(axis=1)
        return _with_interval(float(np.sqrt(squares.mean())), again, "sliced", sizes)
    found = solved(x, y)
    together = _mean_again(found.f + found.g, rng) if paired else _mean_again(found.f, rng) + _mean_again(found.g, rng)
    moved = together - (found.f.mean() + found.g.mean())
    return _with_interval(found.value, found.value**2 + moved, "exact", sizes)


def _with_interval(value: float, squares: np.ndarray, kind: Kind, sizes: tuple[int, int]) -> Transport:
    tail = 50.0 * (1.0 - LEVEL)
    low, high = np.sqrt(np.percentile(squares, [tail, 100.0 - tail]).clip(min=0.0))
    # Rounding alone may leave the value a hair outside.
    return Transport(value=value, low=min(float(low), value), high=max(float(high), value), kind=kind, n=sizes)


def _mean_again(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(values[rng.integers(len(values), size=(RESAMPLES, len(values)))].mean(axis=1))


def directions(dimension: int, count: int, seed: int = 0) -> np.ndarray:
    """Unit vectors at random, uniform on the sphere, (count, dimension), float64; more of them begin with the same."""
    import torch

    from mixvel_core.randomness import key, normal

    u = normal(key(seed, "sliced-w2"), torch.arange(count), (dimension,), torch.float64).numpy()
    return np.asarray(u / np.linalg.norm(u, axis=1, keepdims=True))


def sliced_squares(x: Items, y: Items, u: np.ndarray) -> np.ndarray:
    """W_2^2 of the projections on each direction, (P,); the root of their mean is the sliced W_2.

    In one dimension the best coupling joins equal quantiles. Both quantile functions are steps, so their squared
    difference integrates to a finite sum over the n + m - gcd(n, m) intervals where neither jumps.

    Args:
        x: (n, *data), D numbers each; read a block at a time.
        y: (m, *data).
        u: unit vectors, (P, D).
    """
    along_x, along_y = (np.sort(_projected(z, u), axis=0) for z in (x, y))
    n, m = len(x), len(y)
    # The ends of the intervals, in units of 1/(n m) so that common ones coincide exactly.
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    widths = np.diff(ends, prepend=0) / (n * m)
    return np.asarray(widths @ (along_x[(ends - 1) // m] - along_y[(ends - 1) // n]) ** 2)


def _projected(items: Items, u: np.ndarray) -> np.ndarray:
    """Items along the directions u, (n, P) float64."""
    rows = max(1, VALUES // u.shape[1])
    blocks = (items[start : start + rows] for start in range(0, len(items), rows))
    return np.concatenate([block.reshape(len(block), -1).astype(np.float64) @ u.T for block in blocks])
