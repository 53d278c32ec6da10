"""Lemma 7: what one Euler step leaves out, norm(d_n) <= C_tr h^2, from the second derivative of the flow.

Ours does not add d/dt v and grad v v, each bounded: in y = x/sigma, s = alpha/sigma the flow is dy/ds = m, and

    x'' = (sigma''/sigma) x + (alpha'' - alpha sigma''/sigma) m + (rho^2/sigma) dm/ds,
    dm/ds = Cov(x_0, x_0.(y + s m) - s norm(x_0)^2).
"""

from __future__ import annotations

from torch import Tensor

from mixvel_core.theory.growth import Affine
from mixvel_core.theory.rates import Rates


def C_tr_paper(A_max: float, B_max: float, L_v_uniform: float, C_v: float, rho: float) -> float:
    """(A_max rho + B_max + L C_v (1 + rho))/2, A_max and B_max the suprema of A_v and B_v on [delta, 1]."""
    return 0.5 * (A_max * rho + B_max + L_v_uniform * C_v * (1.0 + rho))


def acceleration_sharp(rates: Rates, R: float) -> Affine:
    """norm(x'') <= A norm(x) + B along the flow: at most the paper's bound of d/dt v alone, at every time.

    A = abs(sigma'')/sigma + c^2 R^2/sigma^2,
    B = (abs(alpha'') + alpha abs(sigma'')/sigma) R + (3/2) alpha c^2 R^3/sigma^2.
    """
    bend = rates.dd_sigma / rates.sigma
    square = rates.c**2 / rates.sigma**2
    return Affine(
        A=bend + square * R**2,
        B=(rates.dd_alpha + rates.alpha * bend) * R + 1.5 * rates.alpha * square * R**3,
    )


def left_out(high: Tensor, low: Tensor, end: Tensor, acceleration: Tensor) -> Tensor:
    """The part of a step's remainder that an interval adds: the integral of (s - end) norm(x''(s)) over [low, high].

    Args:
        high, low: ends of intervals inside the step.
        end: where the step ends, the earlier time.
        acceleration: upper bounds of norm(x'') over the intervals.
    """
    return acceleration * 0.5 * ((high - end) ** 2 - (low - end) ** 2)
