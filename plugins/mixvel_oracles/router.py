"""The exact posterior over experts: from their densities in closed form (D3), or from their items (D2)."""

from __future__ import annotations

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.field.posterior import PosteriorEngine, widened
from mixvel_core.protocols import DensityExpert, NoiseSchedule


@frozen(kw_only=True, eq=False)
class OracleRouter:
    """a_k = pi_k p_t^k(x) / p_t(x). ``experts``: K experts in closed form. ``fractions``: pi, (K,)."""

    experts: tuple[DensityExpert, ...]
    fractions: tuple[float, ...]

    def start(self, x: Tensor, t: Tensor) -> None:
        """No state."""

    def weights(self, x: Tensor, t: Tensor, state: None) -> tuple[Tensor, None]:
        """a(x, t), (B, K)."""
        log_pi = torch.tensor(self.fractions, dtype=torch.float64).log().to(x)
        return (torch.stack([e.log_density(x, t) for e in self.experts], dim=1) + log_pi).softmax(1), None


@frozen(kw_only=True, eq=False)
class ItemsRouter:
    """D2 on the items of all shards, each with a Gaussian of width ``bandwidth``: one pass for all K."""

    schedule: NoiseSchedule
    engine: PosteriorEngine
    bandwidth: float

    def start(self, x: Tensor, t: Tensor) -> None:
        """No state."""

    def weights(self, x: Tensor, t: Tensor, state: None) -> tuple[Tensor, None]:
        """a(x, t), (B, K)."""
        p = widened(self.schedule.at(t.double()), self.bandwidth)
        return self.engine.at(x, p, means=False).a, None
