"""Sealed files: safetensors whose header carries a digest of everything in them, so damage is always noticed.

The digest lies in the file itself: a checkpoint and its seal appear in one rename, together or not at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mixvel_core.errors import ArtifactError
from mixvel_core.files import replacing
from mixvel_core.strangers import check_fits_memory

# One key alone: the order of several is not the same in every process, and equal contents must give equal bytes.
_KEY = "mixvel"


def write_sealed(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Writes ``tensors`` and ``metadata`` (of JSON types), whole or not at all, the same bytes for the same content.

    Raises ArtifactError where the place cannot be written, for example because the disk is full.
    """
    # Copies: safetensors refuses tensors that share memory, as tied weights do.
    own = {name: value.detach().cpu().clone().contiguous() for name, value in sorted(tensors.items())}
    header = json.dumps({"metadata": metadata, "seal": _seal(own, metadata)}, sort_keys=True)
    try:
        with replacing(path) as temporary:
            save_file(own, str(temporary), metadata={_KEY: header})
    except (OSError, SafetensorError) as error:
        raise ArtifactError(
            f"{path}: cannot be written ({error}); free some space or permit it, and run again"
        ) from None


def read_sealed(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, on the CPU, and the metadata of a sealed file.

    Raises ArtifactError where it is missing, cut short, altered, not a sealed file, or longer than memory.
    """
    if not path.is_file():
        raise ArtifactError(f"{path}: missing; run the recipe again to make it")
    check_fits_memory(path)
    try:
        with safe_open(str(path), framework="pt") as file:
            header = json.loads((file.metadata() or {})[_KEY])
            metadata, seal = dict(header["metadata"]), header["seal"]
            # Copies: what safe_open returns lies in the mapped file, which may be replaced.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118, no iterator
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactError(f"{path}: damaged ({error}); remove it and run the recipe again") from None
    if seal != _seal(tensors, metadata):
        raise ArtifactError(f"{path}: damaged (contents do not match the seal); remove it and run the recipe again")
    return tensors, metadata


def _seal(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    digest = hashlib.blake2b(json.dumps(metadata, sort_keys=True).encode(), digest_size=16)
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        if value.numel():
            digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
