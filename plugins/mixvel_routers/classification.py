"""Cross entropy alone: all that `naive` knows, and an a-network that is not to see the exact posterior."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mixvel_core.field.conversions import add_noise, point_for
from mixvel_core.protocols import Batch, NoiseSchedule


@frozen(kw_only=True)
class Classification:
    """Cross entropy of the shard label given (x_t, t); its minimum is the posterior of D2."""

    network: nn.Module
    schedule: NoiseSchedule

    def losses(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """``loss``: the mean over points, in nats."""
        p = point_for(self.schedule, batch.t, batch.x_0)
        logits = network(add_noise(batch.x_0, batch.eps, p), batch.t)
        return {"loss": cross_entropy(logits, batch.shard)}
