"""The items of one shard as vectors around a centre, read a block at a time: no copy is as large as the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import torch
from attrs import field, frozen
from torch import Tensor

from mixvel_core.field.scale import to_float
from mixvel_core.protocols import data as stored

Items: TypeAlias = stored.Items | Tensor
"""(n, *data): bytes or floats, in tensors, arrays or files."""

_NUMBERS = 1 << 21
"""Numbers in a block: converted, they are still in the processor's cache when they are multiplied."""
_MOST_ROWS = 2048
_DEVICE_NUMBERS = 1 << 28
"""Numbers in a block, and pairs of points and items, on an accelerator. It has no such cache, and each operation costs
its start: blocks are as large as memory may bear."""


@frozen(kw_only=True, eq=False)
class ItemBlocks:
    """``items`` minus ``centre`` (D,), float64 with values that float32 can hold.

    ``rows``: items in a block. ``norms``: squared norms around the centre, (n,) float64. ``scale``: the factor from
    ``vectors`` to items; bytes stay 0..255, which saves a pass over each block.
    """

    items: Items
    centre: Tensor
    rows: int
    norms: Tensor = field(init=False)

    @norms.default
    def _squared_norms(self) -> Tensor:
        # In float64: at little noise the norms decide differences of a millionth of themselves.
        return torch.cat([self.exact(slice(*span)).square_().sum(1) for span in self.spans()])

    @property
    def count(self) -> int:
        """n, the number of items."""
        return len(self.items)

    @property
    def scale(self) -> float:
        """1/127.5 for bytes, which stand for [-1, 1], and 1 for floats."""
        return 1.0 / 127.5 if self._are_bytes else 1.0

    @property
    def _are_bytes(self) -> bool:
        return self.items.dtype in (np.uint8, torch.uint8)

    def spans(self, rows: int | None = None) -> Iterator[tuple[int, int]]:
        """First and last of each block of at most ``rows`` items, ``self.rows`` if None, of nearly equal sizes."""
        blocks = -(-self.count // (rows or self.rows))
        ends = [self.count * b // blocks for b in range(blocks + 1)]
        yield from pairwise(ends)

    def scratch(self, like: Tensor, rows: int) -> Tensor | None:
        """Memory for blocks of at most ``rows`` items: fresh pages for each would cost as much as filling them."""
        if isinstance(self.items, Tensor) or like.dtype == torch.float64:
            return None
        return torch.empty(min(rows, self.count), len(self.centre))

    def vectors(self, span: tuple[int, int], like: Tensor, scratch: Tensor | None) -> Tensor:
        """A block of (items - centre) / scale, (rows, D), rounded to the type of ``like`` and on its device.

        It may lie in ``scratch``, and lives until the next block.
        """
        if like.dtype == torch.float64:
            return (self.exact(slice(*span)) / self.scale).to(like)
        # In float32 whatever the type of ``like``: rounded to it once, after the centre is taken.
        centre = ((self.centre + 1.0) / self.scale if self._are_bytes else self.centre).float()
        part = self.items[slice(*span)]
        if isinstance(part, Tensor):
            return (part.flatten(1).float() - centre.to(part.device)).to(like)
        block = torch.empty(len(part), len(centre)) if scratch is None else scratch[: len(part)]
        np.copyto(block.numpy(), part.reshape(len(part), -1), casting="unsafe")
        block.sub_(centre)
        return block.to(like)

    def exact(self, chosen: slice | Tensor) -> Tensor:
        """Some items minus the centre, (rows, D) float64, bytes as numbers in [-1, 1]."""
        if isinstance(self.items, Tensor):
            part: np.ndarray | Tensor = self.items[chosen]
        else:
            part = self.items[chosen if isinstance(chosen, slice) else chosen.numpy()]
        return exact_vectors(part) - self.centre.to(part.device if isinstance(part, Tensor) else "cpu")


def exact_vectors(items: np.ndarray | Tensor) -> Tensor:
    """(n, *data) as (n, D) float64, the numbers that ``to_float`` gives; a copy, on the device where they lie."""
    if isinstance(items, Tensor):
        if items.dtype != torch.uint8:
            return items.flatten(1).to(torch.float64, copy=True)
        # Looked up, not computed: another device may divide in another way.
        levels = torch.from_numpy(to_float(np.arange(256, dtype=np.uint8))).to(items.device)
        return levels[items.flatten(1).long()].double()
    floats = items if items.dtype == np.float64 else to_float(items)
    return torch.from_numpy(np.array(floats.reshape(len(floats), -1), dtype=np.float64))


def item_blocks(shards: Sequence[Items], rows: int | None = None) -> tuple[ItemBlocks, ...]:
    """The blocks of every shard, around the mean of the items of all, where products are smallest.

    Args:
        shards: K arrays or tensors, none empty.
        rows: items in a block; as many as the cache holds if None.
    """
    dimension = int(np.prod(shards[0].shape[1:]))
    rows = rows or max(1, min(_MOST_ROWS, _NUMBERS // max(dimension, 1)))
    total, count = torch.zeros(dimension, dtype=torch.float64), 0
    for items in shards:
        for start in range(0, len(items), rows):
            total += exact_vectors(items[start : start + rows]).sum(0).cpu()
        count += len(items)
    centre = (total / count).float().double()
    return tuple(ItemBlocks(items=items, centre=centre, rows=rows) for items in shards)


def rows_on(device: torch.device, points: int, dimension: int, rows: int) -> int:
    """Items in a block of a pass for ``points`` points of D numbers on ``device``: ``rows`` on a CPU, more elsewhere.

    An accelerator's block holds as many items as give ``_DEVICE_NUMBERS`` numbers, and no more pairs than an eighth of
    that, because pairs are in float64 and stand in several tables.
    """
    if device.type == "cpu":
        return rows
    return max(rows, min(_DEVICE_NUMBERS // max(dimension, 1), _DEVICE_NUMBERS // (8 * max(points, 1))))
