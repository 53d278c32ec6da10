"""How large v and the flow are, how fast m, s, v change in time, what an Euler step leaves out (Theorem 4, Lemma 7).

At fixed x the posterior mean moves by ((alpha' - 2 alpha r)/sigma^2) Cov x - (rho alpha/sigma^2) Cov(x_0, norm(x_0)^2).
Cov is at most R^2; the last covariance at most R times the standard deviation of a number in [0, R^2]: R^3/2
(Popoviciu), where the paper has 2 R^3.

x/sigma moves with the denoiser, d(x/sigma) = m d(alpha/sigma), and norm(m) <= R.

Ours does not add d/dt v and grad v v, each bounded: in y = x/sigma, s = alpha/sigma the flow is dy/ds = m, and

    x'' = (sigma''/sigma) x + (alpha'' - alpha sigma''/sigma) m + (rho^2/sigma) dm/ds,
    dm/ds = Cov(x_0, x_0.(y + s m) - s norm(x_0)^2).
"""

from __future__ import annotations

from attrs import frozen
from torch import Tensor

from mixvel_core.protocols import NoiseSchedule
from mixvel_core.theory.rates import Rates


@frozen(kw_only=True, eq=False)
class Affine:
    """A norm(x) + B; both of the shape of the times."""

    A: Tensor
    B: Tensor

    def at(self, norm_x: Tensor | float) -> Tensor:
        """The bound at points of this norm."""
        return self.A * norm_x + self.B


def C_v_paper(L_v_uniform: float, C1: float, sd: float, R: float) -> float:
    """Proposition 4: norm(v) <= C_v (1 + norm(x)) on [delta, 1], C_v = max(L_v uniform, C1 R/sd^2). VP."""
    return max(L_v_uniform, C1 * R / sd**2)


def v_sharp(rates: Rates, R: float) -> Affine:
    """norm(v) <= r norm(x) + c R; VP: c (R + alpha norm(x)). Also of every v_k."""
    return Affine(A=rates.r, B=rates.c * R)


def dm_paper(rates: Rates, R: float) -> Affine:
    """Lemma 1, norm(d/dt m): VP A_m = abs(alpha') (1 + alpha^2) R^2/sigma^4, B_m = 2 abs(alpha') alpha R^3/sigma^4."""
    return Affine(A=_A_m(rates, R), B=2.0 * rates.alpha * rates.c * R**3 / rates.sigma**2)


def dm_sharp(rates: Rates, R: float) -> Affine:
    """The same with B_m = abs(alpha') alpha R^3/(2 sigma^4)."""
    return Affine(A=_A_m(rates, R), B=0.5 * rates.alpha * rates.c * R**3 / rates.sigma**2)


def ds(rates: Rates, R: float, dm: Affine) -> Affine:
    """Proposition 3, norm(d/dt s), from either bound of d/dt m.

    VP: A_s = alpha A_m/sigma^2 + 2 alpha abs(alpha')/sigma^4,
    B_s = abs(alpha') R/sigma^2 + alpha B_m/sigma^2 + 2 alpha^2 abs(alpha') R/sigma^4.
    """
    inverse = 1.0 / rates.sigma**2
    return Affine(
        A=(rates.alpha * dm.A + 2.0 * rates.r) * inverse,
        B=(rates.d_alpha * R + rates.alpha * dm.B + 2.0 * rates.alpha * rates.r * R) * inverse,
    )


def dv(rates: Rates, R: float, dm: Affine) -> Affine:
    """Proposition 5, norm(d/dt v), from either bound of d/dt m; d/dt v = r' x + rho' m + rho d/dt m.

    VP: A_v = alpha q + c (A_m + abs(alpha')), B_v = R q + c B_m, q = abs(alpha'')/sigma^2 + 2 alpha alpha'^2/sigma^4.
    """
    return Affine(A=rates.d_r + rates.c * dm.A, B=rates.d_c * R + rates.c * dm.B)


def _A_m(rates: Rates, R: float) -> Tensor:
    return R**2 * (rates.d_alpha + 2.0 * rates.alpha * rates.r) / rates.sigma**2


def trajectory_paper(schedule: NoiseSchedule, t: Tensor, norm_x1: float | Tensor, R: float) -> Tensor:
    """norm(x_t) <= (sigma_t/sigma_1) norm(x_1) + alpha_t R.

    The paper has sigma_t norm(x_1): the same on its own schedules, where sigma_1 = 1. Where alpha(1) is not 0 on a VP
    path sigma_1 is below 1 and the bound fails without it.
    """
    p, end = schedule.at(t.double()), schedule.at(t.double().new_ones(()))
    return p.sigma / end.sigma * norm_x1 + p.alpha * R


def trajectory_sharp(schedule: NoiseSchedule, t: Tensor, norm_x1: float | Tensor, R: float) -> Tensor:
    """norm(x_t) <= (sigma_t/sigma_1) norm(x_1) + (alpha_t - alpha_1 sigma_t/sigma_1) R; one data point attains it."""
    p, end = schedule.at(t.double()), schedule.at(t.double().new_ones(()))
    share = p.sigma / end.sigma
    return share * norm_x1 + (p.alpha - end.alpha * share) * R


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
