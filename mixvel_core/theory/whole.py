"""The whole approximate mixture along trajectories: all experts, weighed by the router (D1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from attrs import define
from torch import Tensor

from mixvel_core.field.mixture import weighted_sum
from mixvel_core.protocols import Expert, NoiseSchedule, Router
from mixvel_core.sampling.dispatch import evaluate
from mixvel_core.sampling.weights import WeightTransform


@define(kw_only=True, eq=False)
class WholeMixture:
    """sum_k a_k m_k of K experts and a router, with the router's state; it lives as long as one set of trajectories."""

    schedule: NoiseSchedule
    experts: Sequence[Expert]
    router: Router
    weights: WeightTransform
    _state: Any

    def denoise(self, x: Tensor, t: float) -> Tensor:
        """M, (B, *data): K expert calls."""
        a, self._state = self.router.weights(x, x.new_full((len(x),), t), self._state)
        everyone = torch.ones(len(x), len(self.experts), dtype=torch.bool, device=x.device)
        return weighted_sum(self.weights(a.to(x.dtype)), evaluate(self.experts, x, t, everyone))


def whole_mixture(
    *, schedule: NoiseSchedule, experts: Sequence[Expert], router: Router, weights: WeightTransform, x: Tensor, t: float
) -> WholeMixture:
    """The mixture of trajectories that start at x, (B, *data), and time t."""
    return WholeMixture(
        schedule=schedule,
        experts=experts,
        router=router,
        weights=weights,
        state=router.start(x, x.new_full((len(x),), t)),
    )
