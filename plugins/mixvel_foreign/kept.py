"""What the run folder keeps of a foreign expert: its weights, and what its shard's owner shares."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mixvel_core.protocols import Moments, Shard
from mixvel_unet.family import item_moments

_NETWORK = "network."


def shared(weights: Mapping[str, Tensor], shard: Shard) -> dict[str, Tensor]:
    """``network.*`` and the moments of the shard, which is the data that the expert stands for."""
    moments = item_moments(shard.items)
    about = {"mean": moments.mean, "variance": moments.variance}
    return {_NETWORK + name: value for name, value in weights.items()} | about


def parted(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights by their own names, and the rest."""
    weights = {n.removeprefix(_NETWORK): v for n, v in tensors.items() if n.startswith(_NETWORK)}
    return weights, {n: v for n, v in tensors.items() if not n.startswith(_NETWORK)}


def moments_in(rest: Mapping[str, Tensor]) -> Moments | None:
    """The moments, if they are shared."""
    if "mean" not in rest or "variance" not in rest:
        return None
    return Moments(mean=rest["mean"], variance=rest["variance"])
