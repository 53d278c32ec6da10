"""L_s and L_v: how fast the score and the velocity change in x.

The Jacobian of the denoiser is (alpha/sigma^2) Cov, with Cov the covariance of x_0 given x_t = x: symmetric, with
eigenvalues in [0, R^2]. Those of the score and the velocity follow, and lie in known intervals:

    grad s in [-1/sigma^2, alpha^2 R^2/sigma^4 - 1/sigma^2],      grad v in [r - alpha c R^2/sigma^2, r].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mixvel_core.protocols import NoiseSchedule
from mixvel_core.theory.problem import is_preserving
from mixvel_core.theory.rates import CELLS, Rates, cells, rates_over


def L_s_paper(rates: Rates, R: float) -> Tensor:
    """1/sigma^2 + alpha^2 R^2/sigma^4."""
    return 1.0 / rates.sigma**2 + rates.alpha**2 * R**2 / rates.sigma**4


def L_s_sharp(rates: Rates, R: float) -> Tensor:
    """max(1/sigma^2, alpha^2 R^2/sigma^4 - 1/sigma^2), at points; not for intervals, in which it is not monotone."""
    inverse = 1.0 / rates.sigma**2
    return torch.maximum(inverse, rates.alpha**2 * R**2 / rates.sigma**4 - inverse)


def L_s_uniform_sharp(schedule: NoiseSchedule, delta: float, R: float, count: int = CELLS) -> float:
    """An upper bound of its supremum on [delta, 1]: what is subtracted is taken at the later end of each interval."""
    times = cells(delta, count)
    p = schedule.at(times)
    early, late = p.sigma[:-1], p.sigma[1:]
    second = p.alpha[:-1] ** 2 * R**2 / early**4 - 1.0 / late**2
    return float(torch.maximum(1.0 / early**2, second).amax())


def L_v_paper(rates: Rates, R: float) -> Tensor:
    """Theorem 3 at each time: alpha c (1 + R^2/sigma^2) on a VP path, r + alpha c R^2/sigma^2 on any."""
    return rates.r + rates.alpha * rates.c * R**2 / rates.sigma**2


def L_v_sharp(rates: Rates, R: float) -> Tensor:
    """max(r, alpha c R^2/sigma^2 - r), at points; VP: alpha c max(1, R^2/sigma^2 - 1)."""
    return torch.maximum(rates.r, rates.alpha * rates.c * R**2 / rates.sigma**2 - rates.r)


def L_v_uniform_paper(C1: float, sd: float, R: float) -> float:
    """Theorem 3 on [delta, 1]: C1/sd^2 (1 + R^2/sd^2), sd = sigma(delta). VP."""
    return C1 / sd**2 * (1.0 + R**2 / sd**2)


def L_v_uniform_sharp(schedule: NoiseSchedule, delta: float, R: float, count: int = CELLS) -> float:
    """An upper bound of the supremum of the sharp L_v on [delta, 1], over ``count`` intervals."""
    return float(_sharp_over(schedule, R, cells(delta, count)).amax())


def L_v_integral_paper(schedule: NoiseSchedule, delta: float, R: float) -> float:
    """The integral over [delta, 1] of the paper's L_v at each time, in closed form on any path with rising sigma:

        ln(sigma_1/sd) + R^2/2 (SNR_delta - SNR_1),    SNR = alpha^2/sigma^2,

    since alpha c/sigma^2 = -SNR'/2. On a VP path with alpha(1) = 0 it is (1/2)[ln(1/sd^2) + R^2 (1/sd^2 - 1)].
    """
    log_ratio, fall = _ends(schedule, delta)
    return log_ratio + 0.5 * R**2 * fall


def L_v_integral_sharp(schedule: NoiseSchedule, delta: float, R: float, count: int = CELLS) -> float:
    """The integral of the sharp L_v over [delta, 1]: in closed form on VP paths, elsewhere an upper sum.

    On a VP path alpha c dt = d ln sigma. Below sigma = R/sqrt(2) the second part of the maximum rules, above it the
    first: R^2/2 (1/sd^2 - 1/u^2) - ln(u/sd) + ln(sigma_1/u) with u = R/sqrt(2), held inside [sd, sigma_1].
    """
    times = cells(delta, count)
    if not is_preserving(schedule):
        return float((_sharp_over(schedule, R, times) * times.diff()).sum())
    sd, sigma_1 = (float(v) for v in schedule.at(times[[0, -1]]).sigma)
    u = min(max(R / math.sqrt(2.0), sd), sigma_1)
    return 0.5 * R**2 * (1.0 / sd**2 - 1.0 / u**2) - math.log(u / sd) + math.log(sigma_1 / u)


def expansion_integral(schedule: NoiseSchedule, delta: float, R: float) -> float:
    """ln of how far apart the flow can carry two points from t = 1 to delta; ours, closed on any path.

    Backwards in time distances grow at most at the rate -(smallest eigenvalue of grad v) = alpha c R^2/sigma^2 - r,
    whose integral is R^2/2 (SNR_delta - SNR_1) - ln(sigma_1/sd). Negative for small R: there the flow contracts.
    """
    log_ratio, fall = _ends(schedule, delta)
    return 0.5 * R**2 * fall - log_ratio


def _sharp_over(schedule: NoiseSchedule, R: float, times: Tensor) -> Tensor:
    """Upper bounds of the sharp L_v over the intervals between times.

    What is subtracted would be needed from below. On VP paths r is a factor of all; on others it is left out.
    """
    over = rates_over(schedule, times[:-1], times[1:])
    if is_preserving(schedule):
        return over.r * (R**2 / over.sigma**2 - 1.0).clamp_min(1.0)
    return torch.maximum(over.r, over.alpha * over.c * R**2 / over.sigma**2)


def _ends(schedule: NoiseSchedule, delta: float) -> tuple[float, float]:
    """ln(sigma_1/sd) and SNR_delta - SNR_1."""
    p = schedule.at(torch.tensor([delta, 1.0], dtype=torch.float64))
    snr = (p.alpha / p.sigma) ** 2
    return float((p.sigma[1] / p.sigma[0]).log()), float(snr[0] - snr[1])
