"""Tensors in safetensors files whose header carries a checksum, and their way into networks, shapes compared first.

The checksum lies in the file itself: a checkpoint and its checksum appear in one rename, together or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mixvel_core.artifacts.files import check_fits_memory, digest, replacing
from mixvel_core.errors import ArtifactError

# One key alone: the order of several is not the same in every process, and equal contents must give equal bytes.
_KEY = "mixvel"


def write_checksummed(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Writes ``tensors`` and ``metadata`` (of JSON types), whole or not at all, the same bytes for the same content.

    Raises ArtifactError where the place cannot be written, for example because the disk is full.
    """
    # Copies: safetensors refuses tensors that share memory, as tied weights do.
    own = {name: value.detach().cpu().clone().contiguous() for name, value in sorted(tensors.items())}
    header = json.dumps({"metadata": metadata, "checksum": _checksum(own, metadata)}, sort_keys=True)
    try:
        with replacing(path) as temporary:
            save_file(own, str(temporary), metadata={_KEY: header})
    except (OSError, SafetensorError) as error:
        raise ArtifactError(
            f"{path}: cannot be written ({error}); free some space or permit it, and run again"
        ) from None


def read_checksummed(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, on the CPU, and the metadata of a file of ``write_checksummed``.

    Raises ArtifactError where it is missing, cut short, altered, without a checksum, or longer than memory.
    """
    if not path.is_file():
        raise ArtifactError(f"{path}: missing; run the recipe again to make it")
    check_fits_memory(path)
    try:
        with safe_open(str(path), framework="pt") as file:
            header = json.loads((file.metadata() or {})[_KEY])
            metadata, written = dict(header["metadata"]), header["checksum"]
            # Copies: what safe_open returns lies in the mapped file, which may be replaced.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118  # a safetensors file is no mapping
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactError(f"{path}: damaged ({error}); remove it and run the recipe again") from None
    if written != _checksum(tensors, metadata):
        raise ArtifactError(
            f"{path}: damaged (its contents do not match its checksum); remove it and run the recipe again"
        )
    return tensors, metadata


def read_tensors(path: Path, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The tensors of a file of ``write_checksummed``, on ``device``. Raises ArtifactError as ``read_checksummed``."""
    return {name: value.to(device) for name, value in read_checksummed(path)[0].items()}


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    def blocks() -> Iterator[bytes | memoryview]:
        yield json.dumps(metadata, sort_keys=True).encode()
        for name, value in sorted(tensors.items()):
            yield f"{name} {value.dtype} {tuple(value.shape)}".encode()
            if value.numel():
                yield value.reshape(-1).view(torch.uint8).numpy().data

    return digest(blocks())


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
    check_same(tensors, network.state_dict(), where)
    network.load_state_dict(tensors)


def loaded(make: Callable[[], nn.Module], tensors: Mapping[str, Tensor], where: str) -> nn.Module:
    """The network of ``make``, with the weights ``tensors``; ArtifactError, naming ``where``, where these are of
    another network.

    It is made on torch's meta device first, where nothing is allocated: options may come from elsewhere, and take more
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
