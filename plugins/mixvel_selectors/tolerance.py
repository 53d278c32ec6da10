"""Experts that a tolerance requires: errors of extrapolation, predicted from those so far, and the integrator's own."""

from __future__ import annotations

import torch
from attrs import define, field
from torch import Tensor
from torch.linalg import vector_norm

from mixvel_selectors.feedback import DECAY


@define(kw_only=True, eq=False)
class LocalError:
    """The second difference of M over the last three distinct angles: what a second-order step cannot follow, (B,)."""

    _past: list[tuple[float, Tensor]] = field(factory=list)

    def add(self, theta: float, M: Tensor) -> None:
        """Takes in the estimate M, (B, D), at an angle; a second one at the same angle replaces the first."""
        if self._past and self._past[-1][0] == theta:
            self._past.pop()
        self._past = [*self._past[-2:], (theta, M)]

    def difference(self) -> Tensor | None:
        """(M_n - M_{n-1}) - rho (M_{n-1} - M_{n-2}), rho the ratio of the steps, (B, D); of two M, their difference.

        None before there are two: a first step has no error to compare with.
        """
        if len(self._past) < 2:
            return None
        (theta_1, M_1), (theta, M) = self._past[-2:]
        if len(self._past) == 2:
            return M - M_1
        theta_2, M_2 = self._past[0]
        ratio = (theta_1 - theta) / (theta_2 - theta_1)
        return (M - M_1) - ratio * (M_1 - M_2)


@define(kw_only=True, eq=False)
class ExtrapolationErrors:
    """The errors ||m_k - m^_k|| that were measured along B trajectories, beside the local error.

    ``rate``: r_k, error / age_k^2 at the evaluations of expert k but the first, smoothed, (B, K) float64.
    ``first_error``, ``first_age``: sums of errors and ages at first evaluations, those of prior guesses, (B,).
    """

    rate: Tensor
    first_error: Tensor
    first_age: Tensor
    local: LocalError = field(factory=LocalError)

    def predicted(self, a: Tensor, age: Tensor, count: Tensor) -> Tensor:
        """p_k = a_k r_k age_k^2, r_k measured before; a_k r age_k for experts that were never evaluated, (B, K).

        Those have no slope yet, so their prior guess errs like the age; r is the error of that guess per unit of time,
        measured at the experts that were evaluated.
        """
        guess = (self.first_error / self.first_age.clamp_min(1e-12))[:, None] * age
        return a * torch.where(count == 0, guess, self.rate * age**2)

    def add(self, i: Tensor, k: Tensor, error: Tensor, age: Tensor, count: Tensor) -> None:
        """Takes in the errors of experts ``k`` at samples ``i``, (E,) each; a denoiser of age zero has none.

        ``age``, ``count``: of these before they were evaluated, (E,).
        """
        old = age > 0
        rate = error / age.clamp_min(1e-12) ** 2
        smoothed = torch.where(count > 1, DECAY * self.rate[i, k] + (1.0 - DECAY) * rate, rate)
        self.rate[i, k] = torch.where(old, smoothed, self.rate[i, k])
        first = old & (count == 0)
        self.first_error.index_add_(0, i, torch.where(first, error, 0.0))
        self.first_age.index_add_(0, i, torch.where(first, age, 0.0))


def required(tolerance: float, predicted: Tensor, evaluated: Tensor, difference: Tensor | None) -> Tensor:
    """Experts without which the error of those not evaluated exceeds ``tolerance`` times the local error.

    Args:
        tolerance: above 0.
        predicted: p_k, (B, K).
        evaluated: experts that are evaluated in any case, (B, K) bool.
        difference: the local error, (B, D).

    Returns:
        (B, K) bool; none before there is a local error.
    """
    if difference is None:
        return torch.zeros_like(evaluated)
    allowed = vector_norm(difference, dim=1).double()
    ordered, index = predicted.masked_fill(evaluated, 0.0).sort(dim=1, descending=True)
    # Errors of different experts point in unrelated directions: they add up as squares. An expert is evaluated
    # if without it and all smaller ones too much would be left.
    left = (ordered**2).flip(1).cumsum(1).flip(1).sqrt()
    return torch.zeros_like(evaluated).scatter_(1, index, left > tolerance * allowed[:, None])


def no_errors(samples: int, experts: int, device: torch.device) -> ExtrapolationErrors:
    """Before the first step."""
    rate = torch.zeros(samples, experts, dtype=torch.float64, device=device)
    return ExtrapolationErrors(rate=rate, first_error=rate.new_zeros(samples), first_age=rate.new_zeros(samples))
