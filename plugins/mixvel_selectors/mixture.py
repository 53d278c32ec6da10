"""mixture: all K experts, weighted; the identity D1 itself."""

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
