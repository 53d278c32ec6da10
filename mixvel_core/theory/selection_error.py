"""The error of `sum-up` with Euler, step by step: O(1/N), for every trajectory. Ours; proof in docs/theory/sum-up.md.

With the debts R_n, the sum over past steps of a - e_k, the selection's error is a sum of (R_i - R_{i-1}).W_i, where W
are the experts' denoisers times rho. Summed by parts it is one term of size h and a sum of h R.(W_n - W_{n-1}), of size
h^2 each.
"""

from __future__ import annotations

import math

import torch

from mixvel_core.theory.bound import ln, log_sum
from mixvel_core.theory.growth import dm_sharp
from mixvel_core.theory.lipschitz import L_v_sharp
from mixvel_core.theory.mean_square import Steps
from mixvel_core.theory.problem import BoundProblem
from mixvel_core.theory.rates import rates_at, rates_over


def debt_bound(K: int) -> float:
    """The sum over k of abs(R_k) never exceeds 2 (K - 1)^2/K.

    The expert chosen has the largest debt, at least the mean 1/K, so no debt falls below 1/K - 1; the debts sum to 0
    and at most K - 1 of them are negative.
    """
    return 2.0 * (K - 1) ** 2 / K


def log_errors_sum_up(problem: BoundProblem, steps: Steps) -> tuple[float, ...]:
    """ln of an upper bound of norm(e_n), n = 1 .. N; over x_1 ~ N(0, I) of the root of its mean square.

    Args:
        problem: its errors eps_r and eps_c are allowed for.
        steps: its ``steps_of``.
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
