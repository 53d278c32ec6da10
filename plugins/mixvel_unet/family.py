"""UNetFamily: how U-Net experts are trained, stored and loaded."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.errors import ArtifactError
from mixvel_core.field.scale import to_float
from mixvel_core.protocols import ExpertConfig, NoiseSchedule, Shard
from mixvel_core.training.weights import check_same, load_weights
from mixvel_unet.expert import UNetExpert
from mixvel_unet.network import make_unet
from mixvel_unet.objective import UNetTask
from mixvel_unet.options import UNetOptions

_NETWORK = "network."


@frozen(kw_only=True)
class UNetFamily:
    """One U-Net a shard."""

    options: UNetOptions

    def task(self, shard: Shard, schedule: NoiseSchedule) -> UNetTask:
        """The regression on this shard. Raises RecipeError where its images do not fit the network."""
        self.options.check(shard.shape, "expert unet")
        return UNetTask(shard=shard, schedule=schedule, design=self.options)

    def tensors(self, shard: Shard, trained: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
        """``network.*``, the averaged weights, and ``mean``, the mean of the shard's items in float32."""
        if trained is None:
            raise ArtifactError(f"expert {shard.index}: its network is not trained; run the recipe again")
        return {_NETWORK + name: value for name, value in trained.items()} | {"mean": mean_item(shard.items)}

    def load(self, config: ExpertConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> UNetExpert:
        """The expert, on the device of ``tensors``. Raises ArtifactError where they do not fit the options."""
        where = f"expert {config.index}"
        weights = {n.removeprefix(_NETWORK): v for n, v in tensors.items() if n.startswith(_NETWORK)}
        rest = {n: v for n, v in tensors.items() if not n.startswith(_NETWORK)}
        check_same(rest, {"mean": torch.empty(config.shape)}, where)
        # The seed is of no matter: every weight is replaced.
        network = make_unet(self.options, config.shape, config.shape[0], 0, where)
        load_weights(network, weights, where)
        return UNetExpert(
            schedule=schedule,
            mean=rest["mean"],
            network=network.to(rest["mean"].device).eval().requires_grad_(False),
            prediction=self.options.prediction,
            clip=self.options.clip,
        )


def mean_item(items: np.ndarray, block: int = 1024) -> Tensor:
    """E[x_0] over items (n, *data), summed in float64 a block at a time: they may not fit in memory as floats."""
    total = np.zeros(items.shape[1:], np.float64)
    for start in range(0, len(items), block):
        total += to_float(items[start : start + block]).sum(axis=0, dtype=np.float64)
    return torch.from_numpy((total / len(items)).astype(np.float32))
