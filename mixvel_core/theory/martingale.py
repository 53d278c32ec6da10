"""Lemma 8: the noise of drawing one expert, E norm(xi)^2 for xi = h (v^_k - v^) with k drawn from a^."""

from __future__ import annotations

import math

from torch import Tensor

from mixvel_core.theory.rates import Rates


def C_hat(C_v: float, C1: float, sd: float, eps_r: float) -> float:
    """Growth of every network's velocity: norm(v^_k) <= C_hat (1 + norm(x)), C_hat = C_v + C1 eps_r/sd^2. VP."""
    return C_v + C1 * eps_r / sd**2


def log_M(C: float, T: float) -> float:
    """ln M = (3 C + 2 C^2) T, with C = C_hat: how the second moment of the sampler's own trajectory can grow."""
    return (3.0 * C + 2.0 * C**2) * T


def log_C_sig(C: float, T: float, start: float) -> float:
    """ln C_sig, C_sig = 2 C^2 (1 + M (1 + norm(x_1)^2)); E norm(xi)^2 <= h^2 C_sig."""
    growth = log_M(C, T) + math.log1p(start**2)
    return math.log(2.0 * C**2) + growth + math.log1p(math.exp(-growth))


def noise_sharp(rates: Rates, R: float, eps_r: float) -> Tensor:
    """The root of E norm(v^_k - v^)^2 <= c^2 (R + eps_r)^2.

    Velocities differ as c times denoisers, of norm at most R + eps_r. A variance is at most the mean square, so
    nothing is doubled and nothing grows with x.
    """
    return rates.c * (R + eps_r)
