"""fixed: the prior, pi or p(k | c) of a class, whatever x and t."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.protocols import NoiseSchedule, RouterConfig, Shard, TrainTask
from mixvel_routers.class_prior import ReadsClass, class_prior, normalised

if TYPE_CHECKING:
    from mixvel_core.types import Points, Times, Weights


def prior(fractions: Sequence[float], x: Tensor) -> Tensor:
    """pi at B points x, (B, K) in their type: ``fractions`` divided by their sum."""
    return normalised(fractions).to(x).expand(len(x), -1)


def log_prior(fractions: Sequence[float], device: torch.device | None = None) -> Tensor:
    """log pi, (K,) float64: of ``fractions`` divided by their sum."""
    return normalised(fractions, device).log()


@frozen(kw_only=True, eq=False)
class FixedRouter(ReadsClass):
    """a(x, t) = pi, ``fractions``, or p(k | c) under a class: the posterior where alpha = 0, and only there."""

    fractions: tuple[float, ...]

    def start(self, x: Points, t: Times) -> None:
        """Returns None: the router keeps no state."""

    def weights(self, x: Points, t: Times, state: None) -> tuple[Weights, None]:
        """(B, K), each row pi, or p(k | c) of its class."""
        rows = self.prior_rows(x)
        return (prior(self.fractions, x) if rows is None else rows.to(x)), None


@frozen(kw_only=True)
class FixedFamily:
    """Nothing is trained or stored: pi and p(c | k) are in the router's configuration."""

    def tasks(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> Mapping[str, TrainTask]:
        """No networks to train."""
        return {}

    def tensors(self, shards: Sequence[Shard], trained: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """No tensors to store."""
        return {}

    def load(self, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> FixedRouter:
        """The router of the prior in ``config``."""
        return FixedRouter(fractions=config.fractions, by_class=class_prior(config))
