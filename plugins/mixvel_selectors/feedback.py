"""What a state lacks because experts were extrapolated where they should have been evaluated.

By S1 a step from t to s adds c M to x/sigma, c = cot theta_s - cot theta_t. Where an expert is extrapolated each step
misses m_k - m^_k of it, about in proportion to its age, so that until it is evaluated again x/sigma has missed

    I_k = (m_k - m^_k) S_k / age_k,    S_k = sum of a_k c age_k over those steps,

with m_k - m^_k as it is at the end. The part I_k / c of an estimate of M gives it back in one step.
"""

from __future__ import annotations

import math

import torch
from attrs import define
from torch import Tensor

from mixvel_core.protocols import NoiseSchedule
from mixvel_selectors.memory import angle

DECAY = 0.5
"""The share of an expert's error rate that stays when a new error is measured; one alone may be near zero by chance."""


def coefficient(schedule: NoiseSchedule, t: float, s: float) -> float:
    """c = cot theta_s - cot theta_t > 0 of S1; infinite where s is clean data."""
    end = angle(schedule, s)
    return math.inf if end == 0.0 else 1.0 / math.tan(end) - 1.0 / math.tan(angle(schedule, t))


@define(kw_only=True, eq=False)
class Extrapolated:
    """The steps of B trajectories since each of K experts was evaluated.

    ``weight``: the sum of a_k c over them; ``by_age``: S_k, of a_k c age_k; ``rate``: r_k, ||m_k - m^_k|| / age_k at
    its evaluations, smoothed; all (B, K) float64. ``c``: of the step that is under way; None where its end is not
    known, and then the sums count every step alike and nothing is given back.
    """

    weight: Tensor
    by_age: Tensor
    rate: Tensor
    c: float | None = None

    def worth(self, a: Tensor, age: Tensor) -> Tensor:
        """What the state will have missed of each expert if this step does not evaluate it either, over c, (B, K).

        The miss is r_k age_k for all steps. An expert that was never evaluated has the mean rate of those that were.
        """
        known = self.rate > 0
        mean = self.rate.sum(1, keepdim=True) / known.sum(1, keepdim=True).clamp_min(1)
        rate = torch.where(known, self.rate, torch.where(mean > 0, mean, 1.0))
        return (self.weight / self._c + a) * rate * age

    def given_back(self, i: Tensor, k: Tensor, age: Tensor) -> Tensor | None:
        """S_k / (c age_k) of the experts ``k`` that samples ``i`` evaluate at ages ``age``, (E,); None for nothing."""
        if self.c is None:
            return None
        return torch.where(age > 0, self.by_age[i, k] / age, 0.0) / self._c

    def add(self, a: Tensor, age: Tensor, i: Tensor, k: Tensor, missed: Tensor) -> None:
        """Takes in a step.

        Args:
            a: weights, (B, K).
            age: of all experts, (B, K) >= 0.
            i, k: samples and experts that were evaluated, (E,) each.
            missed: ||m_k - m^_k|| of these, (E,).
        """
        if math.isfinite(self._c):
            self.weight += self._c * a
            self.by_age += self._c * a * age
        # A tensor of the device: a number would be copied there first, which waits for it.
        none = self.weight.new_zeros(())
        self.weight[i, k] = none
        self.by_age[i, k] = none
        before, now = self.rate[i, k], missed / age[i, k].clamp_min(1e-12)
        smoothed = torch.where(before > 0, DECAY * before + (1.0 - DECAY) * now, now)
        self.rate[i, k] = torch.where(age[i, k] > 0, smoothed, before)

    @property
    def _c(self) -> float:
        return 1.0 if self.c is None else self.c


def none_extrapolated(samples: int, experts: int, device: torch.device) -> Extrapolated:
    """Before the first step."""
    weight, by_age, rate = torch.zeros(3, samples, experts, dtype=torch.float64, device=device)
    return Extrapolated(weight=weight, by_age=by_age, rate=rate)
