"""Real items: what samples are compared with, and shown beside."""

from __future__ import annotations

from collections.abc import Sequence

from mixvel_core.errors import DataError
from mixvel_core.protocols import Items, Shard
from mixvel_core.recipe.model import EvaluateOptions
from mixvel_core.stages.shards import WholeShard, are_here


def real_items(options: EvaluateOptions, parts: Sequence[Shard]) -> Items | None:
    """The items of ``evaluate.data`` if it is there, else those of all shards; None where these are with their owners.

    Raises DataError where the items are of another shape than the shards'.
    """
    if options.data is None:
        return WholeShard(parts=tuple(parts)).items if are_here(parts) else None
    items = options.data.build().load().items
    shape = tuple(int(side) for side in items.shape[1:])
    if shape != parts[0].shape:
        raise DataError(f"evaluate.data: items of shape {shape} cannot be compared with samples of {parts[0].shape}")
    return items
