"""Selectors of several experts a step: mixture, top1 and topk, nucleus."""

from __future__ import annotations

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.field.mixture import weighted_sum
from mixvel_core.protocols import Draws, Evaluations, NoiseSchedule, Prior


@frozen(kw_only=True)
class Mixture:
    """M = sum_k a_k m_k. Costs K evaluations."""

    def start(self, x: Tensor, schedule: NoiseSchedule, prior: Prior | None, draws: Draws) -> None:
        """No state."""

    def select(self, x: Tensor, t: float, a: Tensor, state: None) -> tuple[Tensor, None]:
        """Everyone."""
        return torch.ones_like(a, dtype=torch.bool), None

    def combine(self, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: None) -> tuple[Tensor, None]:
        """The weighted sum."""
        return weighted_sum(a, answers), None


@frozen(kw_only=True)
class TopK:
    """M = sum of a_k m_k over the ``k`` largest weights, divided by their sum. Costs min(k, K) evaluations."""

    k: int = 1

    def start(self, x: Tensor, schedule: NoiseSchedule, prior: Prior | None, draws: Draws) -> None:
        """No state."""

    def select(self, x: Tensor, t: float, a: Tensor, state: None) -> tuple[Tensor, None]:
        """The k largest weights of each sample."""
        best = a.topk(min(self.k, a.shape[1]), dim=1).indices
        return torch.zeros_like(a, dtype=torch.bool).scatter_(1, best, True), None

    def combine(self, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: None) -> tuple[Tensor, None]:
        """The weighted sum over those that were asked."""
        return over_those_asked(a, answers), None


def over_those_asked(a: Tensor, answers: Evaluations) -> Tensor:
    """The sum of a_k m_k over the experts that were asked, divided by the sum of their weights, (B, *data)."""
    asked = torch.zeros_like(a)
    asked[answers.sample, answers.expert] = a[answers.sample, answers.expert]
    return weighted_sum(asked / asked.sum(1, keepdim=True), answers)


@frozen(kw_only=True)
class Nucleus:
    """The smallest set of experts whose weights sum to ``mass`` or more. Costs between 1 and K evaluations."""

    mass: float = 0.99

    def start(self, x: Tensor, schedule: NoiseSchedule, prior: Prior | None, draws: Draws) -> None:
        """No state."""

    def select(self, x: Tensor, t: float, a: Tensor, state: None) -> tuple[Tensor, None]:
        """The likeliest experts of each sample, until they hold ``mass`` of its weight."""
        ordered, index = a.sort(dim=1, descending=True, stable=True)
        # An expert is asked if those before it do not hold enough yet; so the first one always is.
        asked = ordered.cumsum(1) - ordered < self.mass
        asked[:, 0] = True
        return torch.zeros_like(asked).scatter_(1, index, asked), None

    def combine(self, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: None) -> tuple[Tensor, None]:
        """The weighted sum over those that were asked."""
        return over_those_asked(a, answers), None
