"""The training of U-Net experts: the regression whose minimum is the denoiser of a shard (V0, V4)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from attrs import frozen
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from mixvel_core.data.items import joined
from mixvel_core.field.conversions import Prediction, add_noise, denoiser, point_for, target
from mixvel_core.protocols import Batch, Condition, Items, NoiseSchedule, Shard
from mixvel_core.training.options import TrainOptions
from mixvel_networks.initial import started_from
from mixvel_networks.unet import make_unet
from mixvel_unet.hooks import UNetOptions

WHAT = "expert unet"
CLASSES = ("UNet2DModel",)
"""Networks of diffusers that it can start from."""


@frozen(kw_only=True)
class DenoiserRegression:
    """Mean squared error between the network at (x_t, t) and its target (V4).

    ``labelled``: whether the network is given the shard of each item.
    """

    network: nn.Module
    schedule: NoiseSchedule
    prediction: Prediction
    labelled: bool = False

    def losses(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """``loss``: the mean over points, channels and pixels."""
        p = point_for(self.schedule, batch.t, batch.x_0)
        labels = (batch.shard,) if self.labelled else ()
        output = network(add_noise(batch.x_0, batch.eps, p), batch.t, *labels)
        return {"loss": mse_loss(output, target(self.prediction, batch.x_0, batch.eps, p))}

    def denoise(
        self, network: nn.Module, x: Tensor, t: Tensor, shard: Tensor, condition: Condition | None = None
    ) -> Tensor:
        """The denoiser by ``network``."""
        output = network(x, t, *((shard,) if self.labelled else ()))
        return denoiser(self.prediction, output, x, point_for(self.schedule, t, x))


@frozen(kw_only=True)
class UNetTask:
    """A U-Net to train on shards, the only data that the task holds: on one, or ``labelled`` with their labels on all.

    The minimum at label k is the denoiser of shard k, however many items the others have.
    """

    members: tuple[Shard, ...]
    schedule: NoiseSchedule
    design: UNetOptions
    labelled: bool = False

    @property
    def items(self) -> Items:
        """The items of all shards, one shard after the other, where they are stored."""
        return joined(*(shard.items for shard in self.members))

    @property
    def shards(self) -> np.ndarray | None:
        """The label of each item, the place of its shard among the members; None without labels."""
        counts = [shard.count for shard in self.members]
        return np.repeat(np.arange(len(self.members)), counts) if self.labelled else None

    @property
    def options(self) -> TrainOptions:
        """Steps, batch and the other settings of the training."""
        return self.design.train

    def objective(self, seed: int) -> DenoiserRegression:
        """A fresh network, or one with the weights of ``initial``, and its loss."""
        shape, labels = self.members[0].shape, len(self.members) if self.labelled else None
        make = partial(make_unet, self.design, shape, shape[0], seed, WHAT, labels)
        initial = self.design.initial
        return DenoiserRegression(
            network=make() if initial is None else started_from(initial, make, CLASSES, "unet"),
            schedule=self.schedule,
            prediction=self.design.prediction,
            labelled=self.labelled,
        )
