"""Lemma 2: what errors of the router and of the experts do to the velocity."""

from __future__ import annotations

from torch import Tensor

from mixvel_core.theory.rates import Rates


def C_NN_paper(K: int, C_v: float, C1: float, sd: float) -> float:
    """norm(v^ - v) <= eps C_NN (1 + norm(x)) on [delta, 1], C_NN = K C_v + C1/sd^2. VP."""
    return K * C_v + C1 / sd**2


def C_NN_sharp(rates: Rates, K: int, R: float) -> Tensor:
    """norm(v^ - v) <= eps c (2 floor(K/2) R + 1), for one eps as the paper has it."""
    return rates.c * (2.0 * (K // 2) * R + 1.0)


def network_paper(rates: Rates, norm_x: Tensor | float, K: int, C_v: float, eps_r: float, eps_c: float) -> Tensor:
    """K eps_c C_v (1 + norm(x)) + c eps_r."""
    return K * eps_c * C_v * (1.0 + norm_x) + rates.c * eps_r


def network_sharp(rates: Rates, K: int, R: float, eps_r: float, eps_c: float) -> Tensor:
    """c (w R + eps_r), w = ``shifted_weight``. No growth in x: the weights' errors sum to 0, only denoisers differ."""
    return rates.c * (shifted_weight(K, eps_c) * R + eps_r)


def shifted_weight(K: int, eps_c: float) -> float:
    """The largest sum over k of abs(a^_k - a_k), both on the simplex, each difference at most eps_c; at most K eps_c.

    What some gain others lose: with K odd one of them cannot be used. And a distance on the simplex is at most 2.
    """
    return min(2.0 * (K // 2) * eps_c, 2.0)
