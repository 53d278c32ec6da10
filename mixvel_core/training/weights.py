"""Weights from a file into a network: names, shapes and types are compared before anything is touched."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from mixvel_core.errors import ArtifactError


def check_same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: str) -> None:
    """Raises ArtifactError at the first tensor that is missing, unknown, or of another shape or type."""
    for name, wanted in expected.items():
        if name not in found:
            raise _foreign(where, f"{name} is missing")
        value = found[name]
        if value.shape != wanted.shape or value.dtype != wanted.dtype:
            raise _foreign(where, f"{name} is {_looks(value)} where {_looks(wanted)} is expected")
    if unknown := sorted(set(found) - set(expected)):
        raise _foreign(where, f"{unknown[0]} is unknown")


def load_weights(network: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Copies ``tensors`` into ``network``, exactly; ``where`` names their source in errors (ArtifactError)."""
    state = network.state_dict()
    check_same(tensors, state, where)
    with torch.no_grad():
        for name, value in state.items():
            value.copy_(tensors[name])


def loaded(make: Callable[[], nn.Module], tensors: Mapping[str, Tensor], where: str) -> nn.Module:
    """The network of ``make``, with the weights ``tensors``; ArtifactError, naming ``where``, where they are another's.

    It is made on torch's meta device first, where nothing is allocated: options may be a stranger's, and ask for more
    than all memory. What fits its weights is no larger than these.
    """
    with torch.device("meta"):
        check_same(tensors, make().state_dict(), where)
    network = make()
    load_weights(network, tensors, where)
    return network


def _looks(value: Tensor) -> str:
    return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"


def _foreign(where: str, what: str) -> ArtifactError:
    return ArtifactError(
        f"{where}: made for another network: {what}; use the options it was made with, or start afresh"
    )
