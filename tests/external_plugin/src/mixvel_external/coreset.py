"""The exact posterior (D2) over a few items of each shard, blurred by what lies between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.field.posterior import PosteriorEngine, widened
from mixvel_core.field.scale import to_float
from mixvel_core.protocols import NoiseSchedule, RouterConfig, Shard, TrainTask


@frozen(kw_only=True, eq=False)
class CoresetRouter:
    """a(x, t) of the items in ``engine``, each a Gaussian of width ``bandwidth``."""

    schedule: NoiseSchedule
    engine: PosteriorEngine
    bandwidth: float

    def start(self, x: Tensor, t: Tensor) -> None:
        """No state."""

    def weights(self, x: Tensor, t: Tensor, state: None) -> tuple[Tensor, None]:
        """a(x, t), (B, K)."""
        p = widened(self.schedule.at(t.double()), self.bandwidth)
        return self.engine.at(x, p, means=False).a, None


@frozen(kw_only=True)
class CoresetFamily:
    """``items`` evenly spaced items a shard leave their silo, and nothing else does."""

    items: int

    def tasks(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> Mapping[str, TrainTask]:
        """Nothing to train."""
        return {}

    def tensors(self, shards: Sequence[Shard], trained: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """The chosen items of each shard, and the bandwidth: their mean spread, shrunk by their number."""
        chosen = [to_float(shard.items[_evenly(shard.count, self.items)]) for shard in shards]
        spread = float(np.mean([items.std(axis=0).mean() for items in chosen])) + 1e-3
        dimension = min(chosen[0][0].size, 8)
        found = {f"items.{k}": torch.tensor(items) for k, items in enumerate(chosen)}
        return found | {"bandwidth": torch.tensor(spread * self.items ** (-1.0 / (4 + dimension)))}

    def load(self, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> CoresetRouter:
        """The router, on the device of ``tensors``."""
        items = tuple(tensors[f"items.{k}"] for k in range(len(config.fractions)))
        engine = PosteriorEngine(shards=items, fractions=config.fractions)
        return CoresetRouter(schedule=schedule, engine=engine, bandwidth=float(tensors["bandwidth"]))


def _evenly(count: int, wanted: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).round().astype(np.int64))
