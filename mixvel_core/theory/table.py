"""Every constant and bound of one problem in the order of the derivation, the paper's beside ours, in log10: those of
the paper overflow any float for real data. Last come Theorems 7 and 8, the prior mismatch and their sum:

    W_2(p_0, p^) <= W_2(p_0, p_delta) + W_2(p_delta, flow of N(0, I)) + W_2(flow of N(0, I), p^)

The first is stopping early, the second starting from N(0, I) where the law at t = 1 is another, the third sampling: all
trajectories coupled by their starting points, so the root of the mean square bounds it. Proofs and names: docs/theory.
"""

from __future__ import annotations

import torch
from attrs import evolve, frozen
from torch import Tensor

from mixvel_core.theory.bound import LN10, Bound, ln, log_sum
from mixvel_core.theory.growth import Affine, dm_paper, dm_sharp, ds
from mixvel_core.theory.lipschitz import (
    L_s_paper,
    L_s_uniform_sharp,
    L_v_integral_paper,
    L_v_integral_sharp,
    expansion_integral,
)
from mixvel_core.theory.mean_square import log_mean_square_paper
from mixvel_core.theory.problem import BoundProblem, Finding, check_schedule
from mixvel_core.theory.rates import rates_everywhere, schedule_constants
from mixvel_core.theory.uniform import PaperConstants, SharpConstants, paper_constants, sharp_constants

BUILT_ON = frozenset({"variance-preserving", "alpha-at-zero", "bounded-derivatives"})
"""Conditions without which the paper's figures are left out."""


@frozen(kw_only=True)
class BoundTable:
    """``bounds``: in the order of the derivation. ``findings``: the conditions that fail; warnings, not errors."""

    problem: BoundProblem
    bounds: tuple[Bound, ...]
    findings: tuple[Finding, ...]

    def __getitem__(self, name: str) -> Bound:
        """The bound of that name, as the theory writes it."""
        return next(bound for bound in self.bounds if bound.name == name)


def bounds_of(problem: BoundProblem) -> BoundTable:
    """Every constant and bound; milliseconds."""
    constants = schedule_constants(problem.schedule)
    findings = check_schedule(problem.schedule, constants.C1, constants.C2)
    applies = not any(finding.condition in BUILT_ON for finding in findings)
    over_start = evolve(problem, norm_x1=None)
    paper = paper_constants(problem) if applies else None
    sharp = sharp_constants(problem)
    bounds = (
        *_constants(problem, paper, sharp),
        *_distances(
            over_start,
            paper_constants(over_start) if applies else None,
            sharp if problem.norm_x1 is None else sharp_constants(over_start),
        ),
    )
    return BoundTable(problem=problem, bounds=bounds, findings=findings)


def _constants(problem: BoundProblem, paper: PaperConstants | None, sharp: SharpConstants) -> list[Bound]:
    """Everything up to the mean square, from the problem's own starting point."""
    schedule, delta, R, T = problem.schedule, problem.delta, problem.R, problem.T
    over, constants = rates_everywhere(schedule, delta), schedule_constants(schedule)
    on, once = "sup on [delta, 1]", f"N = {problem.steps}"
    m_paper, m_sharp = dm_paper(over, R), dm_sharp(over, R)
    s_paper, s_sharp = ds(over, R, m_paper), ds(over, R, m_sharp)
    L_s_sharp = L_s_uniform_sharp(schedule, delta, R)
    start = "over x_1 ~ N(0, I)" if problem.norm_x1 is None else f"norm(x_1) = {problem.norm_x1:g}"
    return [
        _row("C1", "sup of abs(alpha'), Assumption 3", "sup on [0, 1]", constants.C1, constants.C1),
        _row("C2", "sup of abs(alpha''), Assumption 3", "sup on [0, 1]", constants.C2, constants.C2),
        _row("L_s", "Lipschitz constant of the score", on, _top(L_s_paper(over, R)), L_s_sharp),
        _row("L_v", "Lipschitz constant of the velocity, Theorem 3", on, paper and paper.L, sharp.L),
        _row(
            "int L_v",
            "its integral over time",
            "[delta, 1]",
            paper and paper.L * T,
            min(L_v_integral_sharp(schedule, delta, R), L_v_integral_paper(schedule, delta, R)),
        ),
        _row("C_v", "growth of the velocity, Proposition 4", on, paper and paper.C_v, sharp.C_v),
        *_affine("m", "change of the denoiser in time, Lemma 1", on, m_paper, m_sharp),
        *_affine("s", "change of the score in time, Proposition 3", on, s_paper, s_sharp),
        _row("A_v", "change of the velocity in time, Proposition 5", on, paper and paper.A_max, sharp.A_max),
        _row("B_v", "change of the velocity in time, Proposition 5", on, paper and paper.B_max, sharp.B_max),
        _row("sup norm(x_t)", "size of a trajectory, Theorem 4", on, paper and problem.rho, sharp.reach),
        _row("C_NN", "velocity error in units of eps, Lemma 2", on, paper and paper.C_NN, sharp.C_NN),
        _logs("M", "growth of the sampler's second moment; ours needs none", on, paper and paper.log_m, None),
        _logs("C_sig", "noise of drawing an expert, Lemma 8", on, paper and paper.log_c_sig, ln(sharp.C_sig)),
        _logs(
            "C_sig, switching",
            "the same of what a memory misses",
            f"largest of {once}",
            None,
            sharp.log_c_sig_switching,
        ),
        _row("C_tr", "truncation of an Euler step, Lemma 7", on, paper and paper.C_tr, sharp.C_tr),
        _logs(
            "exp(lambda T)", "growth of a mean square over all steps", once, paper and paper.lam * T, sharp.log_growth
        ),
        _logs(
            "E norm(e_N)^2",
            "mean square at the last step, Theorem 2 without network errors, Theorem 6 with",
            f"{once}, {start}",
            paper and paper.log_mean_square,
            2.0 * sharp.log_roots[-1],
        ),
    ]


def log_stopping(problem: BoundProblem) -> float:
    """ln W_2(p_0, p_delta), Theorem 7: W_2^2 <= (1 - alpha_delta)^2 R^2 + D sd^2, from x_0 coupled with x_delta."""
    p = problem.schedule.at(torch.tensor(problem.delta, dtype=torch.float64))
    return 0.5 * ln((1.0 - float(p.alpha)) ** 2 * problem.R**2 + problem.D * float(p.sigma) ** 2)


def log_mismatch_at_start(problem: BoundProblem) -> float:
    """ln W_2(p_1, N(0, I)): W_2^2 <= alpha_1^2 R^2 + (1 - sigma_1)^2 D; x_1 = alpha_1 x_0 + sigma_1 eps beside eps."""
    p = problem.schedule.at(torch.ones((), dtype=torch.float64))
    return 0.5 * ln(float(p.alpha) ** 2 * problem.R**2 + (1.0 - float(p.sigma)) ** 2 * problem.D)


def log_mismatch_sharp(problem: BoundProblem) -> float:
    """ln of the mismatch carried to delta, ours; ``expansion_integral`` is how far the flow parts two points."""
    return log_mismatch_at_start(problem) + expansion_integral(problem.schedule, problem.delta, problem.R)


def _distances(problem: BoundProblem, paper: PaperConstants | None, sharp: SharpConstants) -> list[Bound]:
    """W_2 and its parts, over x_1 ~ N(0, I)."""
    once = f"N = {problem.steps}"
    stopping = log_stopping(problem)
    # The flow has the Lipschitz constant L, so carries the mismatch to delta times exp(L T).
    mismatch = paper and log_mismatch_at_start(problem) + paper.L * problem.T, log_mismatch_sharp(problem)
    sampling = paper and 0.5 * paper.log_mean_square, sharp.log_roots[-1]
    pairs = zip(mismatch, sampling, strict=True)
    total = [None if one is None or other is None else log_sum(stopping, one, other) for one, other in pairs]
    diameter = 2.0 * problem.R if problem.diameter is None else problem.diameter
    rows = [
        _logs("W_2 stopping", "W_2(p_0, p_delta), Theorem 7", "delta", paper and stopping, stopping),
        _logs("W_2 prior", "mismatch of the start where alpha(1) is not 0", "[delta, 1]", *mismatch),
        _logs("W_2 sampling", "W_2(p_delta, p^) from the same start, Theorem 8 (iid, Euler)", once, *sampling),
        _logs("W_2 total", "W_2(p_0, p^): the sum of the three", once, *total),
        _logs("W_2 sampling, sum-up", "the same for `sum-up` (Euler): O(1/N)", once, None, sharp.log_errors_sum_up[-1]),
        _logs(
            "W_2 sampling, switching",
            "the same for `switching` (Euler); the paper's with C_sig of `switching`",
            once,
            paper
            and 0.5 * log_mean_square_paper(problem, paper.lam, paper.C_NN, sharp.log_c_sig_switching, paper.C_tr),
            sharp.log_roots_switching[-1],
        ),
        _logs("W_2 sampling, mixture", "the same for `mixture` (Euler)", once, None, sharp.log_roots_mixture[-1]),
    ]
    limit = ln(diameter) / LN10
    return [
        evolve(
            row,
            paper_above_diameter=None if row.paper_log10 is None else row.paper_log10 >= limit,
            sharp_above_diameter=None if row.sharp_log10 is None else row.sharp_log10 >= limit,
        )
        for row in rows
    ]


def _row(name: str, title: str, where: str, paper: float | None, sharp: float) -> Bound:
    return _logs(name, title, where, None if paper is None else ln(paper), ln(sharp))


def _logs(name: str, title: str, where: str, paper: float | None, sharp: float | None) -> Bound:
    """From natural logarithms. Of two true bounds the smaller is one too: intervals of time can put ours a trace above
    the paper's."""
    if paper is not None and sharp is not None:
        sharp = min(paper, sharp)
    return Bound(
        name=name,
        title=title,
        where=where,
        paper_log10=None if paper is None else paper / LN10,
        sharp_log10=None if sharp is None else sharp / LN10,
    )


def _affine(what: str, title: str, where: str, paper: Affine, sharp: Affine) -> list[Bound]:
    return [
        _row(f"A_{what}", title, where, _top(paper.A), _top(sharp.A)),
        _row(f"B_{what}", title, where, _top(paper.B), _top(sharp.B)),
    ]


def _top(values: Tensor) -> float:
    return float(values.amax())
