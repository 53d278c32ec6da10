"""trained.safetensors: what a job leaves when it is done."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from mixvel_core.errors import ArtifactError
from mixvel_core.files import checksum
from mixvel_core.training.losses import FILE
from mixvel_core.training.sealed import read_sealed, write_sealed

_LOSSES = "losses"


def trained_path(folder: Path) -> Path:
    """Where a job with this folder leaves its result."""
    return folder / "trained.safetensors"


def write_trained(folder: Path, average: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Keeps the averaged state of the network, floats as float32, and the checksum of the losses beside it."""
    kept = {name: value.float() if value.is_floating_point() else value for name, value in average.items()}
    write_sealed(trained_path(folder), kept, {**metadata, _LOSSES: checksum(folder / FILE)})


def read_trained(folder: Path) -> dict[str, Tensor]:
    """The averaged state of a finished job's network. Raises ArtifactError where it is absent or damaged."""
    return read_sealed(trained_path(folder))[0]


def is_trained(folder: Path) -> bool:
    """Whether the job with this folder is done: its result and its losses are there and whole."""
    return trained_path(folder).exists() and damaged(folder) is None


def damaged(folder: Path) -> Path | None:
    """The file of a finished job that is not as it was written; None where all are, or the job is not finished."""
    path = trained_path(folder)
    if not path.exists():
        return None
    try:
        metadata = read_sealed(path)[1]
    except ArtifactError:
        return path
    losses = folder / FILE
    return None if losses.is_file() and checksum(losses) == metadata.get(_LOSSES) else losses
