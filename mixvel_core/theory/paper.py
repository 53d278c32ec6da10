"""The paper's chain of uniform constants on [delta, 1], from C1 and R to the mean square."""

from __future__ import annotations

from typing import final

import torch
from attrs import frozen

from mixvel_core.theory.growth import C_v_paper, dm_paper, dv
from mixvel_core.theory.lipschitz import L_v_uniform_paper
from mixvel_core.theory.martingale import C_hat, log_C_sig, log_M
from mixvel_core.theory.meansquare import lambda_paper, log_mean_square_paper
from mixvel_core.theory.network import C_NN_paper
from mixvel_core.theory.problem import Problem
from mixvel_core.theory.rates import rates_everywhere
from mixvel_core.theory.schedule_constants import ScheduleConstants, schedule_constants
from mixvel_core.theory.truncation import C_tr_paper


@final
@frozen(kw_only=True)
class PaperConstants:
    """Uniform on [delta, 1]. ``L``: L_v of Theorem 3. ``lam``: lambda of Theorem 6. ``log_``: ln of M, C_sig and the
    mean square."""

    schedule: ScheduleConstants
    sd: float
    L: float
    C_v: float
    A_max: float
    B_max: float
    C_NN: float
    C_hat: float
    log_m: float
    log_c_sig: float
    C_tr: float
    lam: float
    log_mean_square: float


def paper_constants(problem: Problem) -> PaperConstants:
    """The whole chain; it means something on variance preserving paths only."""
    found = schedule_constants(problem.schedule)
    C1, R, T = found.C1, problem.R, problem.T
    sd = float(problem.schedule.at(torch.tensor(problem.delta, dtype=torch.float64)).sigma)
    L = L_v_uniform_paper(C1, sd, R)
    C_v = C_v_paper(L, C1, sd, R)
    over = rates_everywhere(problem.schedule, problem.delta)
    change = dv(over, R, dm_paper(over, R))
    A_max, B_max = float(change.A.amax()), float(change.B.amax())
    C_NN = C_NN_paper(problem.K, C_v, C1, sd)
    C = C_hat(C_v, C1, sd, problem.eps_r)
    C_sig = log_C_sig(C, T, problem.start)
    C_tr = C_tr_paper(A_max, B_max, L, C_v, problem.rho)
    lam = lambda_paper(L, C_NN, problem.eps)
    return PaperConstants(
        schedule=found,
        sd=sd,
        L=L,
        C_v=C_v,
        A_max=A_max,
        B_max=B_max,
        C_NN=C_NN,
        C_hat=C,
        log_m=log_M(C, T),
        log_c_sig=C_sig,
        C_tr=C_tr,
        lam=lam,
        log_mean_square=log_mean_square_paper(problem, lam, C_NN, C_sig, C_tr),
    )
