"""Codec: items to latents, in which experts are trained and sampled, and back. CodecFamily: how codecs are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from mixvel_core.protocols.data import Items


class Codec(Protocol):
    """A fixed map from items to latents and one back; neither learns once experts are trained on the latents."""

    @property
    def data_shape(self) -> tuple[int, ...]:
        """The shape of one item, ``*data``."""

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """The shape of one latent, ``*latent``; (C, H, W) where networks of images are to work on it."""

    def encode(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        """The latents of items.

        Args:
            x: items, (B, *data), floating point in [-1, 1].
            rows: the number of each item in its data set, (B,) int64, of which the noise of a random codec is a
                function; None: without noise.

        Returns:
            z, (B, *latent), dtype and device of x. Rows are independent of each other; x is not changed. Latents are
            stored as float16: they are finite there.
        """

    def decode(self, z: Tensor) -> Tensor:
        """The items of latents z, (B, *latent): (B, *data), dtype and device of z, about [-1, 1]. Rows are independent
        of each other; z is not changed."""


@runtime_checkable
class CodecFamily(Protocol):
    """A way to make codecs: fitted to items, or read from files that others have trained."""

    def tensors(self, items: Items, seed: int) -> Mapping[str, Tensor]:
        """Everything ``load`` needs, by name; a run stores it, and so needs nothing else of where it came from.

        Args:
            items: of the data set, (n, *data), uint8 or float32 in [-1, 1]. A fit reads some of them alone.
            seed: of the choice of these, and of a random codec's noise.

        Raises:
            RecipeError or DataError, in one line, where it cannot be made, or cannot take such items.
        """

    def load(self, tensors: Mapping[str, Tensor], shape: tuple[int, ...]) -> Codec:
        """The codec that ``tensors`` describe, for items of ``shape``, on the device where they lie."""


@runtime_checkable
class ReadyCodecFamily(CodecFamily, Protocol):
    """A family whose codec is there already: ``tensors`` reads no item, and may be given none, (0, *data)."""

    def data_shape(self, latent: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of items whose latents have shape ``latent``. Raises RecipeError where none have."""
