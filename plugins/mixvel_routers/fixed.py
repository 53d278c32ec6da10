"""fixed: the prior pi at every point and time, the router that looks at nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.protocols import NoiseSchedule, RouterConfig, Shard, TrainTask

if TYPE_CHECKING:
    from mixvel_core.types import Points, Times, Weights


@frozen(kw_only=True)
class FixedRouter:
    """a(x, t) = pi, ``fractions``, which is the posterior where alpha = 0 and only there."""

    fractions: tuple[float, ...]

    def start(self, x: Points, t: Times) -> None:
        """No state."""

    def weights(self, x: Points, t: Times, state: None) -> tuple[Weights, None]:
        """(B, K), each row pi."""
        pi = torch.tensor(self.fractions, dtype=torch.float64)
        return (pi / pi.sum()).to(x).expand(len(x), -1), None


@frozen(kw_only=True)
class FixedFamily:
    """Nothing to train and nothing to store: the configuration says it all."""

    def tasks(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> Mapping[str, TrainTask]:
        """None."""
        return {}

    def tensors(self, shards: Sequence[Shard], trained: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """None."""
        return {}

    def load(self, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> FixedRouter:
        """The prior of ``config``."""
        return FixedRouter(fractions=config.fractions)
