"""Lemma 8, Theorems 2, 6 and 8 with the variance that a memory leaves: `switching` with Euler, importance p = 1.

A step uses M = sum_j a_j m~_j + (a_k/q_k) (m_k - m~_k) with m~ what the memory recalls and k drawn from

    q_k = (1 - e) a_k age_k / sum_j a_j age_j + e a_k.

Given the past its mean is sum_j a_j m_j, so xi_n is a martingale difference as the paper's is, and C_sig becomes the
second moment of (a_k/q_k) (m_k - m~_k) times c^2. That is bounded by A_n = sum_j a_j age_j, the mean age of the memory,
which the importance of age keeps at the size of K steps whatever the weights are. Proofs in docs/theory/switching.md.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import torch
from attrs import evolve, frozen
from numpy.typing import NDArray
from torch import Tensor

from mixvel_core.field.angle import angle_at
from mixvel_core.theory.bound import ln
from mixvel_core.theory.growth import dm_sharp, trajectory_sharp
from mixvel_core.theory.lipschitz import L_v_sharp
from mixvel_core.theory.mean_square import Steps, shifted_weight, steps_of
from mixvel_core.theory.problem import BoundProblem
from mixvel_core.theory.rates import rates_at, rates_over

MIXING = 0.3
"""e, the default of the selector; the bounds are of p = 1 and this e."""
Floats: TypeAlias = NDArray[np.float64]


def second_moment(a: Tensor, q: Tensor, missed: Tensor) -> Tensor:
    """E norm(M - sum_j a_j m_j)^2 over k ~ q: sum_k (a_k^2/q_k) norm(missed_k)^2 - norm(sum_k a_k missed_k)^2, (B,).

    Args:
        a: weights, (B, K).
        q: probabilities of the draw, (B, K), zero only where a is.
        missed: m_k - m~_k, (B, K, D). Of m_k themselves with q = a it is the variance of the paper's draw.
    """
    ratio = torch.where(a > 0, a**2 / torch.where(a > 0, q, 1.0), 0.0)
    mean = torch.einsum("bk,bkd->bd", a, missed)
    return (ratio * missed.square().sum(2)).sum(1) - mean.square().sum(1)


def log_speed(s: Floats, R: float, sigma_1: float, s_1: float, norm_x1: Floats) -> Floats:
    """ln U: along the flow m_k - g_k moves at most by U times the change of the angle, and U rises towards the data.

    With s = alpha/sigma and y = x/sigma of norm at most norm(x_1)/sigma_1 + R (s - s_1) (Theorem 4), g_k the Gaussian
    guess or zero:

        U = (1 + s^2) [R^2 (1 + 2 min(1, s^2 R^2)) norm(y) + (7/2) s R^3].
    """
    y = norm_x1 / sigma_1 + R * (s - s_1)
    moved = R**2 * (1.0 + 2.0 * np.minimum(1.0, s**2 * R**2)) * y + 3.5 * s * R**3
    return np.asarray(np.log1p(s**2) + _ln(moved))


@frozen(kw_only=True)
class ReducedVariance:
    """``log_roots``: ln of the root of E norm(e_n)^2, n = 1 .. N. ``log_c_sig``: ln of the largest E norm(xi_n)^2.

    Both of trajectories from the problem's starting point, or over x_1 ~ N(0, I).
    """

    log_roots: tuple[float, ...]
    log_c_sig: float


def reduced_variance(problem: BoundProblem, steps: Steps) -> ReducedVariance:
    """The bounds of a problem whose ``steps`` are known, step by step (S* and A of docs/theory/switching.md).

    Starting points x_1 ~ N(0, I) are taken by their norms: between two quantiles at the larger one, since the bounds
    rise with norm(x_1). Beyond the last quantile a bound without A_n, which grows no faster than norm(x_1), is used.
    """
    norm_x1, weights = _starts(problem)
    capped = np.zeros(len(norm_x1), dtype=bool)
    capped[-1] = problem.norm_x1 is None
    N, K, R, h = problem.steps, problem.K, problem.R, problem.h
    times = torch.linspace(1.0, problem.delta, N + 1, dtype=torch.float64)
    at = rates_at(problem.schedule, times)
    over = rates_over(problem.schedule, times[1:], times[:-1])
    change, theta = dm_sharp(over, R), _floats(angle_at(problem.schedule, times))
    s, slope, c, r, L = (
        _floats(v) for v in (at.alpha / at.sigma, at.alpha * R**2 / at.sigma**2, at.c, at.r, L_v_sharp(at, R))
    )
    reach = _reach(problem, times, norm_x1)
    left = _left(problem, norm_x1)
    U = log_speed(s[:, None], R, float(at.sigma[0]), float(s[0]), norm_x1)
    # What the memory is off by before the first evaluation, where t = 1 is not all noise.
    first = s[0] * (R**2 * (1.0 + 2.0 * s[0] ** 2 * R**2) * norm_x1 / float(at.sigma[0]) + 2.5 * s[0] * R**3)
    always = _ln(4.0 * problem.eps_r + first)
    # And what it is off by at most, however old it is.
    C = R**2 / (1.0 + s**2 * R**2)
    guess = (C * s)[:, None] * (norm_x1 / float(at.sigma[0]) + (R * (2.0 * s - s[0]))[:, None])
    limit = _ln(4.0 * (R + problem.eps_r + np.maximum.accumulate(guess)))
    slope_g = np.maximum.accumulate(C * s / _floats(at.sigma))
    A, B = _floats(change.A), _floats(change.B)
    remembered, shared = math.sqrt(1.0 - (1.0 - MIXING) / K), shifted_weight(K, problem.eps_c)

    nothing = np.full(len(norm_x1), -np.inf)
    S, phi, squares, age = nothing, nothing, nothing, nothing
    roots, noises = [], []
    for n in range(N):
        oldest = ln(theta[0] - theta[n])
        age = np.where(capped, oldest, np.minimum(age, oldest))
        largest = np.logaddexp(phi, math.log(2.0) + 0.5 * squares)
        aged = math.log(2.0) - 0.5 * math.log(1.0 - MIXING) + U[n] + age
        rest = np.logaddexp(ln(4.0 * slope[n]) + largest, always) - 0.5 * math.log(MIXING)
        most = np.logaddexp(ln(4.0 * slope_g[n]) + largest, limit[n]) - 0.5 * math.log(MIXING)
        noise = ln(h * c[n]) + np.minimum(np.logaddexp(aged, rest), most)
        # How far the weights move in the step, all together: in time, then in x.
        at_x = np.logaddexp(_ln(reach[n]), S)
        moved_x = _sum(ln(h * r[n]) + at_x, ln(h * c[n] * (R + problem.eps_r)), noise)
        turned = _sum(ln(h * A[n] / R) + at_x, ln(h * B[n] / R), ln(slope[n + 1] / R) + moved_x, ln(2.0 * shared))
        turned = np.minimum(turned, math.log(2.0))
        age = _sum(ln(remembered) + age, ln(theta[n] - theta[n + 1]), oldest + turned)

        added = np.logaddexp(ln(steps.drift[n]), left[n])
        reached = math.log(2.0) + 0.5 * squares
        phi = _sum(ln(max(1.0, steps.factor[n])) + phi, ln(h * L[n]) + reached, added)
        squares = np.logaddexp(squares, 2.0 * noise)
        S = 0.5 * np.logaddexp(2.0 * np.logaddexp(ln(steps.factor[n]) + S, added), 2.0 * noise)
        roots.append(0.5 * _mean(2.0 * S, weights))
        noises.append(_mean(2.0 * noise, weights) - 2.0 * math.log(h))
    return ReducedVariance(log_roots=tuple(roots), log_c_sig=max(noises))


QUANTILES = np.concatenate([np.linspace(0.95, 0.05, 19), np.geomspace(0.025, 1e-15, 30)])
"""Probabilities with which norm(x_1) exceeds the norms at which bounds are computed."""


def _starts(problem: BoundProblem) -> tuple[Floats, Floats]:
    """Norms of x_1 and their weights: a mean over x_1 of what rises with its norm is at most the weighted sum.

    The last of them stands for all norms beyond: there a bound b(X) with b(X)/X falling has a mean square of at most
    (b(X)/X)^2 E [norm(x_1)^2 where it is above X].
    """
    from scipy.special import gammaincc, gammainccinv

    if problem.norm_x1 is not None:
        return np.array([problem.norm_x1]), np.ones(1)
    half = 0.5 * problem.D
    squares = 2.0 * gammainccinv(half, QUANTILES)
    between = -np.diff(QUANTILES, prepend=1.0)
    beyond = problem.D * gammaincc(half + 1.0, 0.5 * squares[-1]) / squares[-1]
    return np.sqrt(np.append(squares, squares[-1])), np.append(between, beyond)


def _reach(problem: BoundProblem, times: Tensor, norm_x1: Floats) -> Floats:
    """norm(x_t) of Theorem 4 from starting points of these norms, (N + 1, X): affine in the norm."""
    none, one = (_floats(trajectory_sharp(problem.schedule, times, norm, problem.R)) for norm in (0.0, 1.0))
    return none[:, None] + (one - none)[:, None] * norm_x1


def _left(problem: BoundProblem, norm_x1: Floats) -> Floats:
    """ln of what Euler's steps leave out from starting points of these norms, (N, X): affine in the norm."""
    none, one = (np.array(steps_of(evolve(problem, norm_x1=norm)).left) for norm in (0.0, 1.0))
    return _ln(none[:, None] + (one - none)[:, None] * norm_x1)


def _floats(values: Tensor) -> Floats:
    return np.asarray(values.numpy(), dtype=np.float64)


def _ln(values: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(values))


def _sum(*logs: Floats | float) -> Floats:
    total: Floats = np.logaddexp.reduce(np.stack(np.broadcast_arrays(*logs)), axis=0)
    return total


def _mean(logs: Floats, weights: Floats) -> float:
    return float(np.logaddexp.reduce(logs + _ln(weights)))
