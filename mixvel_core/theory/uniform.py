"""Uniform constants on [delta, 1]: the paper's chain from C1 and R, and ours from a recursion over the steps."""

from __future__ import annotations

from typing import final

import torch
from attrs import frozen

from mixvel_core.theory.bound import ln
from mixvel_core.theory.growth import C_tr_paper, C_v_paper, acceleration_sharp, dm_paper, dm_sharp, dv, v_sharp
from mixvel_core.theory.lipschitz import L_v_uniform_paper, L_v_uniform_sharp
from mixvel_core.theory.mean_square import (
    C_hat,
    C_NN_paper,
    C_NN_sharp,
    lambda_paper,
    log_C_sig,
    log_errors_sum_up,
    log_M,
    log_mean_square_paper,
    log_root_sharp,
    noise_sharp,
    steps_of,
    trajectory_over,
)
from mixvel_core.theory.problem import BoundProblem
from mixvel_core.theory.rates import cells, rates_everywhere, rates_over, schedule_constants
from mixvel_core.theory.reduced_variance import reduced_variance


@final
@frozen(kw_only=True)
class PaperConstants:
    """The paper's chain, uniform on [delta, 1].

    ``L``: L_v of Theorem 3. ``C_v``: Proposition 4. ``A_max``, ``B_max``: suprema of Proposition 5. ``C_NN``: Lemma 2.
    ``log_m``, ``log_c_sig``: ln of M and C_sig, Lemma 8. ``C_tr``: Lemma 7. ``lam``: lambda of Theorem 6.
    ``log_mean_square``: ln of its bound.
    """

    L: float
    C_v: float
    A_max: float
    B_max: float
    C_NN: float
    log_m: float
    log_c_sig: float
    C_tr: float
    lam: float
    log_mean_square: float


def paper_constants(problem: BoundProblem) -> PaperConstants:
    """The paper's constants of a problem; they bound anything on variance preserving paths only."""
    C1, R, T = schedule_constants(problem.schedule).C1, problem.R, problem.T
    sd = float(problem.schedule.at(torch.tensor(problem.delta, dtype=torch.float64)).sigma)
    L = L_v_uniform_paper(C1, sd, R)
    C_v = C_v_paper(L, C1, sd, R)
    over = rates_everywhere(problem.schedule, problem.delta)
    change = dv(over, R, dm_paper(over, R))
    A_max, B_max = float(change.A.amax()), float(change.B.amax())
    C_NN, C = C_NN_paper(problem.K, C_v, C1, sd), C_hat(C_v, C1, sd, problem.eps_r)
    C_sig, C_tr = log_C_sig(C, T, problem.start), C_tr_paper(A_max, B_max, L, C_v, problem.rho)
    lam = lambda_paper(L, C_NN, problem.eps)
    return PaperConstants(
        L=L,
        C_v=C_v,
        A_max=A_max,
        B_max=B_max,
        C_NN=C_NN,
        log_m=log_M(C, T),
        log_c_sig=C_sig,
        C_tr=C_tr,
        lam=lam,
        log_mean_square=log_mean_square_paper(problem, lam, C_NN, C_sig, C_tr),
    )


@frozen(kw_only=True)
class SharpConstants:
    """Suprema on [delta, 1] of our bounds at each time; where the paper has another quantity the nearest of ours.

    ``C_v``: the larger of sup r and sup c R, so that norm(v) <= C_v (1 + norm(x)). ``C_NN``: the velocity's error in
    units of eps (``C_NN_sharp``). ``reach``: sup norm(x_t) from x_1. ``C_sig``: sup c^2 (R + eps_r)^2.
    ``C_tr``: half of sup norm(x'') along a trajectory from x_1. ``log_growth``: ln of the product of the G_n^2.
    ``log_roots``: ln of the root of E norm(e_n)^2, n = 1 .. N, drawing experts; ``log_roots_mixture``: the same for the
    full mixture. ``log_errors_sum_up``: the same for sum-up, of every trajectory where x_1 is given.
    ``log_roots_switching``, ``log_c_sig_switching``: roots, and ln of the largest E norm(xi_n)^2, of `switching`.
    """

    L: float
    C_v: float
    A_max: float
    B_max: float
    reach: float
    C_NN: float
    C_sig: float
    C_tr: float
    log_growth: float
    log_roots: tuple[float, ...]
    log_roots_mixture: tuple[float, ...]
    log_errors_sum_up: tuple[float, ...]
    log_roots_switching: tuple[float, ...]
    log_c_sig_switching: float


def sharp_constants(problem: BoundProblem) -> SharpConstants:
    """Our constants of a problem, on any path with falling alpha and rising sigma."""
    R, times = problem.R, cells(problem.delta)
    over = rates_over(problem.schedule, times[:-1], times[1:])
    size, change = v_sharp(over, R), dv(over, R, dm_sharp(over, R))
    norm = trajectory_over(problem, times[:-1], times[1:])
    steps = steps_of(problem)
    reduced = reduced_variance(problem, steps)
    return SharpConstants(
        L=L_v_uniform_sharp(problem.schedule, problem.delta, R),
        C_v=max(float(size.A.amax()), float(size.B.amax())),
        A_max=float(change.A.amax()),
        B_max=float(change.B.amax()),
        reach=float(norm.amax()),
        C_NN=float(C_NN_sharp(over, problem.K, R).amax()),
        C_sig=float(noise_sharp(over, R, problem.eps_r).amax()) ** 2,
        C_tr=0.5 * float(acceleration_sharp(over, R).at(norm).amax()),
        log_growth=2.0 * sum(ln(factor) for factor in steps.factor),
        log_roots=log_root_sharp(steps),
        log_roots_mixture=log_root_sharp(steps, random=False),
        log_errors_sum_up=log_errors_sum_up(problem, steps),
        log_roots_switching=reduced.log_roots,
        log_c_sig_switching=reduced.log_c_sig,
    )
