"""Lemmas 2 and 8, Theorems 2 and 6: the mean square of e_N = x^_N - x(delta), drawing one expert a step with Euler.

    e_{n+1} = [e_n - h (v(x^_n) - v(x_n))] - h beta_n - d_n - h xi_n

beta: the networks' error, d: what the step leaves out, xi: the draw's noise, of mean zero given the past. With
exact networks it is Theorem 2. Last the error of `sum-up`, step by step: O(1/N), for every trajectory; ours, proof in
docs/theory/sum-up.md.
"""

from __future__ import annotations

import math

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.theory.bound import ln, log_sum
from mixvel_core.theory.growth import acceleration_sharp, dm_sharp, left_out, trajectory_sharp
from mixvel_core.theory.lipschitz import L_v_sharp
from mixvel_core.theory.problem import BoundProblem
from mixvel_core.theory.rates import CELLS, Rates, rates_at, rates_over


def C_hat(C_v: float, C1: float, sd: float, eps_r: float) -> float:
    """Growth of every network's velocity: norm(v^_k) <= C_hat (1 + norm(x)), C_hat = C_v + C1 eps_r/sd^2. VP."""
    return C_v + C1 * eps_r / sd**2


def log_M(C: float, T: float) -> float:
    """ln M = (3 C + 2 C^2) T, with C = C_hat: how the second moment of the sampler's own trajectory can grow."""
    return (3.0 * C + 2.0 * C**2) * T


def log_C_sig(C: float, T: float, start: float) -> float:
    """ln C_sig, C_sig = 2 C^2 (1 + M (1 + norm(x_1)^2)); E norm(xi)^2 <= h^2 C_sig."""
    growth = log_M(C, T) + math.log1p(start**2)
    return math.log(2.0 * C**2) + growth + math.log1p(math.exp(-growth))


def noise_sharp(rates: Rates, R: float, eps_r: float) -> Tensor:
    """The root of E norm(v^_k - v^)^2 <= c^2 (R + eps_r)^2.

    Velocities differ as c times denoisers, of norm at most R + eps_r. A variance is at most the mean square, so
    nothing is doubled and nothing grows with x.
    """
    return rates.c * (R + eps_r)


def C_NN_paper(K: int, C_v: float, C1: float, sd: float) -> float:
    """norm(v^ - v) <= eps C_NN (1 + norm(x)) on [delta, 1], C_NN = K C_v + C1/sd^2. VP."""
    return K * C_v + C1 / sd**2


def C_NN_sharp(rates: Rates, K: int, R: float) -> Tensor:
    """norm(v^ - v) <= eps c (2 floor(K/2) R + 1), for one eps as the paper has it."""
    return rates.c * (2.0 * (K // 2) * R + 1.0)


def network_sharp(rates: Rates, K: int, R: float, eps_r: float, eps_c: float) -> Tensor:
    """c (w R + eps_r), w = ``shifted_weight``. No growth in x: the weights' errors sum to 0, only denoisers differ."""
    return rates.c * (shifted_weight(K, eps_c) * R + eps_r)


def shifted_weight(K: int, eps_c: float) -> float:
    """The largest sum over k of abs(a^_k - a_k), both on the simplex, each difference at most eps_c; at most K eps_c.

    What some gain others lose: with K odd one of them cannot be used. And a distance on the simplex is at most 2.
    """
    return min(2.0 * (K // 2) * eps_c, 2.0)


def lambda_paper(L: float, C_NN: float, eps: float) -> float:
    """lambda = 3 + 4 (2 L + L^2) + 8 C_NN^2 eps^2; needs h <= 1, which holds on [delta, 1]."""
    return 3.0 + 4.0 * (2.0 * L + L**2) + 8.0 * C_NN**2 * eps**2


def log_mean_square_paper(problem: BoundProblem, lam: float, C_NN: float, log_C_sig: float, C_tr: float) -> float:
    """ln of exp(lambda T) T [8 C_NN^2 (1 + rho)^2 eps^2 + (C_sig + 2 C_tr^2 h) h]."""
    T, h = problem.T, problem.h
    inside = log_sum(
        ln(8.0) + 2.0 * (ln(C_NN) + ln(1.0 + problem.rho) + ln(problem.eps)),
        log_C_sig + ln(h),
        ln(2.0) + 2.0 * (ln(C_tr) + ln(h)),
    )
    return lam * T + ln(T) + inside


@frozen(kw_only=True)
class Steps:
    """What each of the N steps can do, in the order in which they are made; tuples of N numbers.

    ``factor``: G_n, by which a step can multiply a distance. ``drift``: h norm(beta_n). ``left``: norm(d_n).
    ``noise``: the root of E norm(h xi_n)^2.
    """

    factor: tuple[float, ...]
    drift: tuple[float, ...]
    left: tuple[float, ...]
    noise: tuple[float, ...]


def steps_of(problem: BoundProblem) -> Steps:
    """The four parts of every step, ours: G_n from the eigenvalues of I - h grad v, the rest from the sharp bounds.

    grad v is symmetric with eigenvalues in [r - kappa, r], kappa = alpha c R^2/sigma^2, so G_n = max(abs(1 - h r),
    abs(1 + h (kappa - r))) <= 1 + h L_v. Times enter exactly; what a step leaves out is summed over intervals in it.
    """
    schedule, R, N = problem.schedule, problem.R, problem.steps
    times = torch.linspace(1.0, problem.delta, N + 1, dtype=torch.float64)
    h = -times.diff()
    at = rates_at(schedule, times[:-1])
    kappa = at.alpha * at.c * R**2 / at.sigma**2
    factor = torch.maximum((1.0 - h * at.r).abs(), (1.0 + h * (kappa - at.r)).abs())

    parts = -(-CELLS // N)
    u = torch.arange(parts + 1, dtype=torch.float64) / parts
    # The later end first, as sampling goes.
    inner = times[:-1, None] - h[:, None] * u
    inner[:, -1] = times[1:]
    high, low = inner[:, :-1], inner[:, 1:]
    # In this form Theorem 4 bounds whole intervals: sigma rises and alpha falls.
    norm = trajectory_over(problem, low, high)
    acceleration = acceleration_sharp(rates_over(schedule, low, high), R).at(norm)
    left = left_out(high, low, times[1:, None], acceleration).sum(1)
    return Steps(
        factor=tuple(factor.tolist()),
        drift=tuple((h * network_sharp(at, problem.K, R, problem.eps_r, problem.eps_c)).tolist()),
        left=tuple(left.tolist()),
        noise=tuple((h * noise_sharp(at, R, problem.eps_r)).tolist()),
    )


def trajectory_over(problem: BoundProblem, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """An upper bound of norm(x_t) over intervals: the noise's share at the later end, the data's at the earlier one."""
    late = trajectory_sharp(problem.schedule, high, problem.start, 0.0)
    early = trajectory_sharp(problem.schedule, low, 0.0, problem.R)
    return late + early


def log_root_sharp(steps: Steps, *, random: bool = True) -> tuple[float, ...]:
    """ln of the root of E norm(e_n)^2 for n = 1 .. N, ours: S_{n+1}^2 = (G_n S_n + drift_n + left_n)^2 + noise_n^2.

    ``random``: whether an expert is drawn; False for the full mixture, which has no noise.
    """
    S, out = -math.inf, []
    for factor, drift, left, noise in zip(steps.factor, steps.drift, steps.left, steps.noise, strict=True):
        S = log_sum(ln(factor) + S, ln(drift + left))
        if random:
            S = 0.5 * log_sum(2.0 * S, 2.0 * ln(noise))
        out.append(S)
    return tuple(out)


def debt_bound(K: int) -> float:
    """The sum over k of abs(R_k) never exceeds 2 (K - 1)^2/K.

    The expert chosen has the largest debt, at least the mean 1/K, so no debt falls below 1/K - 1; the debts sum to 0
    and at most K - 1 of them are negative.
    """
    return 2.0 * (K - 1) ** 2 / K


def log_errors_sum_up(problem: BoundProblem, steps: Steps) -> tuple[float, ...]:
    """ln of an upper bound of norm(e_n), n = 1 .. N, of `sum-up`; over x_1 ~ N(0, I) of the root of its mean square.

    With the debts R_n, the sum over past steps of a - e_k, the selection's error is a sum of (R_i - R_{i-1}).W_i, where
    W are the experts' denoisers times rho. Summed by parts it is one term of size h and a sum of h R.(W_n - W_{n-1}),
    of size h^2 each. ``steps``: of the same problem.
    """
    N, R, debt = problem.steps, problem.R, debt_bound(problem.K)
    times = torch.linspace(1.0, problem.delta, N + 1, dtype=torch.float64)
    h = problem.h
    at = rates_at(problem.schedule, times[:-1])
    over = rates_over(problem.schedule, times[1:-1], times[:-2])
    change = dm_sharp(over, R)
    answer = R + problem.eps_r
    r, c, L = at.r.tolist(), at.c.tolist(), L_v_sharp(at, R).tolist()
    slope = (at.alpha * R**2 / at.sigma**2).tolist()
    A, B, factor = change.A.tolist(), change.B.tolist(), steps.factor

    norm = before = problem.start
    q, Z, out = -math.inf, -math.inf, []
    for n in range(N):
        added = [ln(steps.drift[n] + steps.left[n])]
        if n > 0:
            # How far the experts' denoisers moved since the last step: in time at the old point, then in x.
            moved = h * (A[n - 1] * before + B[n - 1]) + slope[n] * h * (r[n - 1] * before + c[n - 1] * answer)
            turned = abs(c[n] - c[n - 1]) * answer + c[n] * (min(moved, 2.0 * R) + 2.0 * problem.eps_r)
            added += [ln(h * L[n]) + q, ln(h * debt * turned)]
        Z = log_sum(ln(factor[n]) + Z, *added)
        q = ln(h * debt * c[n] * answer)
        before, norm = norm, abs(1.0 - h * r[n]) * norm + h * c[n] * answer
        out.append(log_sum(Z, q))
    return tuple(out)
