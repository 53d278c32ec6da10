"""Our constants on [delta, 1], and the mean square from a recursion over the steps."""

from __future__ import annotations

from attrs import frozen

from mixvel_core.theory.growth import dm_sharp, dv, v_sharp
from mixvel_core.theory.lipschitz import L_v_uniform_sharp
from mixvel_core.theory.logs import ln
from mixvel_core.theory.martingale import noise_sharp
from mixvel_core.theory.meansquare import log_root_sharp, steps_of, trajectory_over
from mixvel_core.theory.network import C_NN_sharp
from mixvel_core.theory.problem import Problem
from mixvel_core.theory.rates import cells, rates_over
from mixvel_core.theory.sum_up import log_errors_sum_up
from mixvel_core.theory.truncation import acceleration_sharp


@frozen(kw_only=True)
class SharpConstants:
    """Suprema on [delta, 1] of our bounds at each time; where the paper has another quantity the nearest of ours.

    ``C_v``: the larger of sup r and sup c R, so that norm(v) <= C_v (1 + norm(x)). ``C_NN``: the velocity's error in
    units of eps (``C_NN_sharp``). ``reach``: sup norm(x_t) from x_1. ``C_sig``: sup c^2 (R + eps_r)^2.
    ``C_tr``: half of sup norm(x'') along a trajectory from x_1. ``log_growth``: ln of the product of the G_n^2.
    ``log_roots``: ln of the root of E norm(e_n)^2, n = 1 .. N, drawing experts; ``log_roots_mixture``: the same for the
    full mixture. ``log_errors_sum_up``: the same for sum-up, of every trajectory where x_1 is given.
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


def sharp_constants(problem: Problem) -> SharpConstants:
    """All of ours; on any path with falling alpha and rising sigma."""
    R, times = problem.R, cells(problem.delta)
    low, high = times[:-1], times[1:]
    over = rates_over(problem.schedule, low, high)
    size, change = v_sharp(over, R), dv(over, R, dm_sharp(over, R))
    norm = trajectory_over(problem, low, high)
    steps = steps_of(problem)
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
    )
