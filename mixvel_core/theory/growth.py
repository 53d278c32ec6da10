"""How large v is, and how fast m, s and v change in time at a fixed point: affine in norm(x).

At fixed x the posterior mean moves by ((alpha' - 2 alpha r)/sigma^2) Cov x - (rho alpha/sigma^2) Cov(x_0, norm(x_0)^2).
Cov is at most R^2; the last covariance at most R times the standard deviation of a number in [0, R^2]: R^3/2
(Popoviciu), where the paper has 2 R^3.
"""

from __future__ import annotations

from attrs import frozen
from torch import Tensor

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
