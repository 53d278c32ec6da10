"""Views of items through a codec: latents of items, and items of latents, computed where they are read.

Latents are float16 wherever they are stored: half of the bytes of float32, and a relative error of 2^-11, far below
what codecs lose. ``to_float`` widens them, as it does bytes. Items of float16 are latents; no data source has others.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.data.items import indices_of
from mixvel_core.errors import DataError
from mixvel_core.field.scale import to_float
from mixvel_core.protocols import Codec, Items

STORED = np.dtype(np.float16)
LARGEST = float(np.finfo(STORED).max)
_NUMBERS = 1 << 21
"""Numbers of items that pass a codec together: networks take many times the memory."""


def are_latents(items: Items) -> bool:
    """Whether items, as they are stored, are latents of a codec."""
    return items.dtype == STORED


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
        return STORED

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, rows: np.ndarray | slice, /) -> np.ndarray:
        """Raises DataError where latents are not finite in float16."""
        wanted = indices_of(rows, len(self))
        found = np.empty((len(wanted), *self.shape[1:]), STORED)
        for part in _spans(len(wanted), self.source.shape):
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
        for part in _spans(len(wanted), self.shape):
            z = torch.from_numpy(to_float(np.array(self.source[wanted[part]]))).to(self.device)
            found[part] = self.codec.decode(z).cpu().numpy()
        return found


def decoded(codec: Codec, z: Tensor) -> Tensor:
    """The items of latents (n, *latent), a block at a time, (n, *data) on their device and in their type."""
    return torch.cat([codec.decode(z[part]) for part in _spans(len(z), (len(z), *codec.data_shape))])


def encoded(codec: Codec, x: Tensor) -> Tensor:
    """The latents of items (n, *data), without noise, a block at a time, (n, *latent) on their device and in their
    type."""
    return torch.cat([codec.encode(x[part]) for part in _spans(len(x), (len(x), *codec.data_shape))])


def _spans(count: int, shape: tuple[int, ...]) -> list[slice]:
    """Blocks of ``count`` items, at least one of them; ``shape`` (n, *data) of all."""
    each = max(1, _NUMBERS // math.prod(shape[1:]))
    return [slice(start, start + each) for start in range(0, count, each)] or [slice(0, 0)]
