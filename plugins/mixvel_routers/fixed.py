"""fixed: the prior, pi or p(k | c) of a class, whatever x and t; pi is of the shards, or as it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from attrs import evolve, frozen
from torch import Tensor

from mixvel_core.errors import RecipeError
from mixvel_core.protocols import NoiseSchedule, RouterConfig, Shard, TrainTask
from mixvel_routers.class_prior import ReadsClass, class_prior, normalised
from mixvel_routers.closed_form_options import FixedOptions

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
class FixedFamily(FixedOptions):
    """Nothing is trained or stored: pi and p(c | k) are in the router's configuration, or pi in its options."""

    def tasks(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> Mapping[str, TrainTask]:
        """No networks to train."""
        return {}

    def tensors(self, shards: Sequence[Shard], trained: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """No tensors to store. Raises RecipeError where weights are given, and are not one for each shard."""
        if not isinstance(self.weights, str) and len(self.weights) != len(shards):
            raise RecipeError(
                f"router fixed: {len(self.weights)} weights for {len(shards)} experts; give one for each, or `uniform`"
            )
        return {}

    def load(self, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> FixedRouter:
        """The router of the prior in ``config``, with other fractions pi where these options give some."""
        given = self.weights if not isinstance(self.weights, str) else (1.0,) * len(config.fractions)
        used = config if self.weights == "fractions" else evolve(config, fractions=given)
        return FixedRouter(fractions=used.fractions, by_class=class_prior(used))
