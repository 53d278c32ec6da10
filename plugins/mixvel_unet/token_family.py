"""The family `unet-condition`: U-Nets that read tokens, such as the embeddings of a text, by cross-attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from torch import nn

from mixvel_core.errors import RecipeError
from mixvel_networks.family import NetworkFamily
from mixvel_networks.inputs import NetworkInputs
from mixvel_networks.unet_condition import make_token_unet
from mixvel_unet.hooks import UNetConditionOptions


@frozen(kw_only=True)
class UNetConditionFamily(UNetConditionOptions, NetworkFamily):
    """One such U-Net a shard, or one with labels for all."""

    @property
    def name(self) -> str:
        """What recipes call it."""
        return "unet-condition"

    @property
    def classes(self) -> tuple[str, ...]:
        """Networks of diffusers that it can start from."""
        return ("UNet2DConditionModel",)

    @property
    def reads_tokens(self) -> bool:
        """True: that is what it is for."""
        return True

    def check_fits(self, shape: tuple[int, ...], inputs: NetworkInputs) -> None:
        """Raises RecipeError unless items are images whose sides can be halved often enough, and have tokens."""
        self.check(shape, self.what)
        if inputs.tokens is None:
            raise RecipeError(
                f"{self.what}: it reads tokens (L, D), as `condition: {{text: embeddings.npy}}` has; without any take "
                "expert unet"
            )
        if inputs.numbers:
            raise RecipeError(f"{self.what}: it reads tokens and classes, no vectors; give them as tokens (L, D)")

    def make(
        self,
        shape: tuple[int, ...],
        inputs: NetworkInputs,
        seed: int,
        what: str,
        config: Mapping[str, Any] | None = None,
    ) -> nn.Module:
        """A fresh U-Net with as many channels at its end as points have."""
        return make_token_unet(self, shape, inputs, seed, what, config)
