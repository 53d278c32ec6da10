"""A pipeline folder with two networks, one for each level of noise, and which they are.

As in Wan2.2: ``transformer`` answers at timesteps of at least boundary_ratio * num_train_timesteps, ``transformer_2``
below; so may ``unet`` and ``unet_2``. Expert 0 is the one nearest data.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from mixvel_foreign.network_configs import FOLDERS
from mixvel_networks.weight_files import read_json_of

INDEX = "model_index.json"
RATIO = "boundary_ratio"


@frozen(kw_only=True)
class LevelledFolder:
    """``networks``: the folders of experts 0 and 1. ``ratio``: what its index has for boundary_ratio."""

    networks: tuple[str, str]
    ratio: object


def levelled_folder(path: Path) -> LevelledFolder | None:
    """The folder as one of two networks for two levels of noise; None where it is none."""
    index = path / INDEX
    if not index.is_file():
        return None
    content = read_json_of(index)
    parts = parts_of(content)
    name = next((name for name in FOLDERS if name in parts and f"{name}_2" in parts), None)
    return None if name is None else LevelledFolder(networks=(f"{name}_2", name), ratio=content.get(RATIO))


def parts_of(index: Mapping[str, Any]) -> dict[str, str]:
    """The class of each part of a pipeline, by name; of those that are there."""
    pairs = {name: value for name, value in index.items() if isinstance(value, list) and len(value) == 2}
    return {name: value[1] for name, value in pairs.items() if isinstance(value[1], str)}
