"""nucleus: the fewest likeliest experts that together hold a share of the weight, scaled to sum 1. Biased."""

from __future__ import annotations

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.protocols import Draws, Evaluations, NoiseSchedule, Prior
from mixvel_selectors.top import over_those_asked


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
