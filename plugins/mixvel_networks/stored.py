"""What the file of an expert that is a network holds: ``network.*``, the weights, and ``mean`` and ``variance``."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mixvel_core.protocols import Moments

_NETWORK = "network."


def stored_tensors(weights: Mapping[str, Tensor], moments: Moments) -> dict[str, Tensor]:
    """The tensors of the file, for ``weights`` by their names in the network and the moments of the expert's shard."""
    named = {_NETWORK + name: value for name, value in weights.items()}
    return named | {"mean": moments.mean, "variance": moments.variance}


def network_weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights in a file's tensors, by their names in the network."""
    return {name.removeprefix(_NETWORK): value for name, value in tensors.items() if name.startswith(_NETWORK)}


def other_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file that are no weights."""
    return {name: value for name, value in tensors.items() if not name.startswith(_NETWORK)}


def stored_moments(tensors: Mapping[str, Tensor]) -> Moments | None:
    """The moments in a file's tensors; None where they are not shared."""
    if "mean" not in tensors or "variance" not in tensors:
        return None
    return Moments(mean=tensors["mean"], variance=tensors["variance"])


def without_moments(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A file's tensors without mean and variance, for an expert whose shard's moments are not to be shared."""
    return {name: value for name, value in tensors.items() if name not in ("mean", "variance")}


def for_use(network: nn.Module, device: torch.device | None) -> nn.Module:
    """The network on ``device`` (where it is, if None), in evaluation mode and without gradients of its weights."""
    return network.to(device).eval().requires_grad_(False)
