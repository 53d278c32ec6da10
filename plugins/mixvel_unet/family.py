"""The family `unet`: experts that are U-Nets, one a shard, or one with labels for all shards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from torch import nn

from mixvel_networks.family import NetworkFamily
from mixvel_networks.inputs import NetworkInputs
from mixvel_networks.unet import make_unet
from mixvel_unet.hooks import UNetOptions


@frozen(kw_only=True)
class UNetFamily(UNetOptions, NetworkFamily):
    """One U-Net a shard, or one with labels for all."""

    @property
    def name(self) -> str:
        """What recipes call it."""
        return "unet"

    @property
    def classes(self) -> tuple[str, ...]:
        """Networks of diffusers that it can start from."""
        return ("UNet2DModel",)

    def check_fits(self, shape: tuple[int, ...], inputs: NetworkInputs) -> None:
        """Raises RecipeError unless items are images whose sides can be halved often enough; any inputs work."""
        self.check(shape, self.what)

    def make(
        self,
        shape: tuple[int, ...],
        inputs: NetworkInputs,
        seed: int,
        what: str,
        config: Mapping[str, Any] | None = None,
    ) -> nn.Module:
        """A fresh U-Net with as many channels at its end as points have."""
        return make_unet(self, shape, shape[0], seed, what, inputs.labels, inputs.numbers, config)
