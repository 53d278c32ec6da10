"""Options of the routers; nothing here imports torch."""

from __future__ import annotations

from attrs import frozen

from mixvel_core.plugin.options import at_least, option
from mixvel_core.training.options import TrainOptions
from mixvel_unet.options import Architecture


@frozen(kw_only=True)
class ANetworkOptions(Architecture):
    """Options of ``a-network``: a U-Net for images, a multilayer perceptron for vectors."""

    width: int = option(default=128, check=at_least(1), doc="units of each hidden layer, for vectors")
    depth: int = option(default=3, check=at_least(1), doc="hidden layers, for vectors")
    train: TrainOptions = option(factory=TrainOptions, doc="how it is trained")
