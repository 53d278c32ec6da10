"""The family `dit`: experts that are transformers of patches, one a shard, or one with labels for all shards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from torch import nn

from mixvel_core.errors import RecipeError
from mixvel_networks.family import NetworkFamily
from mixvel_networks.inputs import NetworkInputs
from mixvel_networks.transformer import make_transformer
from mixvel_transformers.hooks import DiTOptions


@frozen(kw_only=True)
class DiTFamily(DiTOptions, NetworkFamily):
    """One transformer a shard, or one with labels for all."""

    @property
    def name(self) -> str:
        """What recipes call it."""
        return "dit"

    @property
    def classes(self) -> tuple[str, ...]:
        """Networks of diffusers that it can start from."""
        return ("DiTTransformer2DModel",)

    def check_fits(self, shape: tuple[int, ...], inputs: NetworkInputs) -> None:
        """Raises RecipeError unless items are square images of whole patches, and conditions are classes."""
        self.check_images(shape, self.what)
        if inputs.numbers:
            raise RecipeError(f"{self.what}: it reads classes alone; take expert unet for conditions of numbers")

    def make(
        self,
        shape: tuple[int, ...],
        inputs: NetworkInputs,
        seed: int,
        what: str,
        config: Mapping[str, Any] | None = None,
    ) -> nn.Module:
        """A fresh transformer with as many channels at its end as points have."""
        return make_transformer(self, shape, shape[0], seed, what, inputs.labels, config)
