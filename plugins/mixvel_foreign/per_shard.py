"""Experts of different families in one mixture: shard k has the k-th."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen
from torch import Tensor

from mixvel_core.errors import RecipeError
from mixvel_core.protocols import (
    Expert,
    ExpertConfig,
    ExpertFamily,
    NoiseSchedule,
    PretrainedFamily,
    Shard,
    TrainTask,
)


@frozen(kw_only=True)
class PerShardFamily:
    """``families``: one for each shard, in their order. Everything is asked of the shard's own."""

    families: tuple[ExpertFamily, ...]

    def task(self, shard: Shard, schedule: NoiseSchedule) -> TrainTask | None:
        """The family's."""
        return self._of(shard.index).task(shard, schedule)

    def tensors(self, shard: Shard, trained: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
        """The family's."""
        return self._of(shard.index).tensors(shard, trained)

    def load(self, config: ExpertConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> Expert:
        """The family's."""
        return self._of(config.index).load(config, tensors, schedule)

    def is_network(self) -> bool:
        """Whether any is."""
        return any(isinstance(family, PretrainedFamily) and family.is_network() for family in self.families)

    def _of(self, index: int) -> ExpertFamily:
        if not 0 <= index < len(self.families):
            which = f"shard {index}" if index >= 0 else "the monolith"
            raise RecipeError(f"expert per-shard: {len(self.families)} experts, and none of them is for {which}")
        return self.families[index]
