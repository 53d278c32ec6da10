"""Options of U-Net experts; nothing here imports torch."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from mixvel_core.plugin.options import option
from mixvel_core.training.options import TrainOptions
from mixvel_networks.architecture import Architecture


@frozen(kw_only=True)
class UNetOptions(Architecture):
    """Options of the expert ``unet``."""

    prediction: Literal["x0", "eps", "v", "flow"] = option(
        default="v", doc="what the network is trained to predict; every expert answers with the denoiser"
    )
    clip: bool = option(default=True, doc="keep the denoiser within [-1, 1], the range of the data")
    shared: bool = option(
        default=False,
        doc="one network for all shards, trained on all data with the shard of each item as its label; expert k is the "
        "network with label k. No isolation: the data meet in one training. The monolith takes no notice",
    )
    train: TrainOptions = option(factory=TrainOptions, doc="how it is trained")
