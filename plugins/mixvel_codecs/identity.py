"""The codec that leaves items as they are, for recipes that name one without meaning any."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen
from torch import Tensor

from mixvel_core.protocols import Items


@frozen(kw_only=True)
class IdentityCodec:
    """Items as they are: z = x."""

    data_shape: tuple[int, ...]

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """That of an item."""
        return self.data_shape

    def encode(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        """x itself, (B, *data)."""
        return x

    def decode(self, z: Tensor) -> Tensor:
        """z itself, (B, *data)."""
        return z


@frozen(kw_only=True)
class IdentityFamily:
    """The one codec without options."""

    def tensors(self, items: Items, seed: int) -> Mapping[str, Tensor]:
        """Empty: there is nothing to keep."""
        return {}

    def load(self, tensors: Mapping[str, Tensor], shape: tuple[int, ...]) -> IdentityCodec:
        """The codec of items of ``shape``."""
        return IdentityCodec(data_shape=shape)
