"""fixed: the prior pi, whatever x and t."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.protocols import NoiseSchedule, RouterConfig, Shard, TrainTask

if TYPE_CHECKING:
    from mixvel_core.types import Points, Times, Weights


def prior(fractions: Sequence[float], x: Tensor) -> Tensor:
    """pi at B points x, (B, K) in their type: ``fractions`` divided by their sum."""
    return _normalised(fractions).to(x).expand(len(x), -1)


def log_prior(fractions: Sequence[float], device: torch.device | None = None) -> Tensor:
    """log pi, (K,) float64: of ``fractions`` divided by their sum."""
    return _normalised(fractions, device).log()


def _normalised(fractions: Sequence[float], device: torch.device | None = None) -> Tensor:
    pi = torch.tensor(fractions, dtype=torch.float64, device=device)
    return pi / pi.sum()


@frozen(kw_only=True)
class FixedRouter:
    """a(x, t) = pi, ``fractions``, which is the posterior where alpha = 0 and only there."""

    fractions: tuple[float, ...]

    def start(self, x: Points, t: Times) -> None:
        """Returns None: the router keeps no state."""

    def weights(self, x: Points, t: Times, state: None) -> tuple[Weights, None]:
        """(B, K), each row pi."""
        return prior(self.fractions, x), None


@frozen(kw_only=True)
class FixedFamily:
    """Nothing is trained or stored: pi is in the router's configuration."""

    def tasks(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> Mapping[str, TrainTask]:
        """No networks to train."""
        return {}

    def tensors(self, shards: Sequence[Shard], trained: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """No tensors to store."""
        return {}

    def load(self, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> FixedRouter:
        """The router of the prior in ``config``."""
        return FixedRouter(fractions=config.fractions)
