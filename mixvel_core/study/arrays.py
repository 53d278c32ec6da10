"""Results that are kept between studies: arrays in an NPZ file, which is a unit."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixvel_core.arrays import read_arrays, write_arrays
from mixvel_core.stages.unit import Unit


def keep(unit: Unit, arrays: dict[str, np.ndarray], **notes: Any) -> None:
    """Writes ``NAME.npz`` and closes the unit."""
    path = unit.folder / f"{unit.name}.npz"
    write_arrays(path, arrays)
    unit.close([path.name], **notes)


def kept(unit: Unit, *names: str) -> tuple[np.ndarray, ...] | None:
    """The arrays of a unit; None where it is not done. Raises ArtifactError where the file is not what it says."""
    if not unit.is_done():
        return None
    return read_arrays(unit.folder / f"{unit.name}.npz", *names)
