"""Theorems 7 and 8, the prior mismatch and their sum: W_2 between the data and what the sampler makes.

    W_2(p_0, p^) <= W_2(p_0, p_delta) + W_2(p_delta, flow of N(0, I)) + W_2(flow of N(0, I), p^)

The first is stopping early (Theorem 7), the second starting from N(0, I) where the law at t = 1 is another, the
third sampling (Theorem 8): all trajectories coupled by their starting points, so the root of the mean square bounds it.
"""

from __future__ import annotations

import torch

from mixvel_core.theory.bound import ln
from mixvel_core.theory.lipschitz import expansion_integral
from mixvel_core.theory.problem import BoundProblem


def log_stopping(problem: BoundProblem) -> float:
    """ln W_2(p_0, p_delta), Theorem 7: W_2^2 <= (1 - alpha_delta)^2 R^2 + D sd^2, from x_0 coupled with x_delta."""
    p = problem.schedule.at(torch.tensor(problem.delta, dtype=torch.float64))
    return 0.5 * ln((1.0 - float(p.alpha)) ** 2 * problem.R**2 + problem.D * float(p.sigma) ** 2)


def log_mismatch_at_start(problem: BoundProblem) -> float:
    """ln W_2(p_1, N(0, I)): W_2^2 <= alpha_1^2 R^2 + (1 - sigma_1)^2 D; x_1 = alpha_1 x_0 + sigma_1 eps beside eps."""
    p = problem.schedule.at(torch.ones((), dtype=torch.float64))
    return 0.5 * ln(float(p.alpha) ** 2 * problem.R**2 + (1.0 - float(p.sigma)) ** 2 * problem.D)


def log_mismatch_paper(problem: BoundProblem, L: float) -> float:
    """ln of the mismatch carried to delta by a flow with Lipschitz constant L: times exp(L T)."""
    return log_mismatch_at_start(problem) + L * problem.T


def log_mismatch_sharp(problem: BoundProblem) -> float:
    """The same with the closed form of how far the flow parts two points (``expansion_integral``)."""
    return log_mismatch_at_start(problem) + expansion_integral(problem.schedule, problem.delta, problem.R)
