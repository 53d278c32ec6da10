"""Views of items through a codec: latents of items, and items of latents, computed where they are read.

Latents are float16 wherever they are stored (``LATENTS``), and ``to_float`` widens them where they are read, as it does
bytes. A codec that goes beyond what float16 holds is refused, with the first such block.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.data.items import LATENTS, indices_of
from mixvel_core.errors import DataError
from mixvel_core.field.scale import to_float
from mixvel_core.protocols import Codec, Items

LARGEST = float(np.finfo(LATENTS).max)
_NUMBERS = 1 << 21
"""Numbers of items that pass a codec together: networks take many times the memory."""


@frozen(kw_only=True, eq=False)
class EncodedItems:
    """The latents of ``source`` by ``codec``, on ``device``; (n, *latent) float16.

    The row numbers that a random codec takes are those of ``source``.
    """

    source: Items
    codec: Codec
    device: torch.device

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.source), *self.codec.latent_shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return LATENTS

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, rows: np.ndarray | slice, /) -> np.ndarray:
        """Raises DataError where latents are not finite in float16."""
        wanted = indices_of(rows, len(self))
        found = np.empty((len(wanted), *self.shape[1:]), LATENTS)
        for part in _spans(len(wanted), self.codec.data_shape):
            x = torch.from_numpy(to_float(np.array(self.source[wanted[part]]))).to(self.device)
            z = self.codec.encode(x, torch.from_numpy(wanted[part]).to(self.device))
            found[part] = z.half().cpu().numpy()
        if not np.isfinite(found).all():
            raise DataError(
                f"the codec's latents are not finite numbers below {LARGEST:g}; scale them, or name another"
            )
        return found


@frozen(kw_only=True, eq=False)
class DecodedItems:
    """The items of the latents ``source`` by ``codec``, on ``device``; (n, *data) float32."""

    source: Items
    codec: Codec
    device: torch.device

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.source), *self.codec.data_shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, rows: np.ndarray | slice, /) -> np.ndarray:
        wanted = indices_of(rows, len(self))
        found = np.empty((len(wanted), *self.shape[1:]), np.float32)
        for part in _spans(len(wanted), self.codec.data_shape):
            z = torch.from_numpy(to_float(np.array(self.source[wanted[part]]))).to(self.device)
            found[part] = self.codec.decode(z).cpu().numpy()
        return found


@frozen(kw_only=True, eq=False)
class PlacedCodec:
    """``codec`` on ``device``, for items and latents wherever they lie."""

    codec: Codec
    device: torch.device

    def encoded(self, items: Items) -> EncodedItems:
        """The latents of items, computed where they are read."""
        return EncodedItems(source=items, codec=self.codec, device=self.device)

    def decoded(self, latents: Items) -> DecodedItems:
        """The items of latents, computed where they are read."""
        return DecodedItems(source=latents, codec=self.codec, device=self.device)

    def encode(self, x: Tensor) -> Tensor:
        """The latents of items (n, *data), without noise, a block at a time; (n, *latent), where x is, in its type."""
        return self._mapped(self.codec.encode, x, self.codec.latent_shape)

    def decode(self, z: Tensor) -> Tensor:
        """The items of latents (n, *latent), a block at a time; (n, *data), where z is, in its type."""
        return self._mapped(self.codec.decode, z, self.codec.data_shape)

    def _mapped(self, f: Callable[[Tensor], Tensor], x: Tensor, shape: tuple[int, ...]) -> Tensor:
        found = x.new_empty((len(x), *shape))
        for part in _spans(len(x), self.codec.data_shape):
            found[part] = f(x[part].to(self.device)).to(x.device)
        return found


def _spans(count: int, shape: tuple[int, ...]) -> list[slice]:
    """Blocks of ``count`` items of ``shape``, none where there are none: networks may not take empty batches."""
    each = max(1, _NUMBERS // math.prod(shape))
    return [slice(start, start + each) for start in range(0, count, each)]
