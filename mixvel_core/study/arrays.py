"""Results that are kept between studies: arrays in an NPZ file, which is a unit."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixvel_core.errors import ArtifactError
from mixvel_core.files import replacing
from mixvel_core.stages.unit import Unit


def keep(unit: Unit, arrays: dict[str, np.ndarray], **notes: Any) -> None:
    """Writes ``NAME.npz`` and closes the unit."""
    path = unit.folder / f"{unit.name}.npz"
    with replacing(path) as temporary, temporary.open("wb") as file:
        # Typed as Any, because among the names of arrays numpy's own options could stand.
        named: dict[str, Any] = dict(arrays)
        np.savez(file, **named)
    unit.close([path.name], **notes)


def kept(unit: Unit, *names: str) -> tuple[np.ndarray, ...] | None:
    """The arrays of a unit; None where it is not done. Raises ArtifactError where the file is not what it says."""
    if not unit.is_done():
        return None
    path = unit.folder / f"{unit.name}.npz"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return tuple(arrays[name] for name in names)
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise ArtifactError(f"{path}: damaged ({error}); remove it and run the study again") from None
