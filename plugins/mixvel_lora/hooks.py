"""Definition of LoRA experts; nothing here imports torch."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from mixvel_core.errors import AbsentError
from mixvel_core.plugin.definition import NoOptions, PluginDef, Target, hookimpl
from mixvel_core.plugin.options import above, at_least, option
from mixvel_core.protocols import ExpertFamily
from mixvel_core.training.options import TrainOptions


@frozen(kw_only=True)
class LoraOptions:
    """Options of the expert ``lora``."""

    rank: int = option(default=4, check=at_least(1), doc="r, rows of A and columns of B, of adapters that are trained")
    alpha: float | None = option(
        default=None, check=above(0), doc="what is added to a layer is alpha / rank B A x; absent: the rank"
    )
    targets: tuple[str, ...] = option(
        default=(),
        doc="ends of the names of the layers that are adapted, as PEFT's target_modules: [to_q, to_v]; empty: all "
        "linear layers and convolutions",
    )
    adapters: Path | None = option(
        default=None,
        doc="a folder of an adapter that is there, in PEFT's or diffusers' layout or an expert of a run; {k} in it is "
        "the shard's number; absent: they are trained",
    )
    merge: bool = option(
        default=False,
        doc="merge each adapter into a network of its own: K networks in memory, and no products beside their layers",
    )
    train: TrainOptions = option(
        factory=TrainOptions, doc="how adapters are trained, with PEFT (pip install 'mixvel[lora]')"
    )


@hookimpl
def mixvel_experts() -> Sequence[PluginDef[Any, ExpertFamily]]:
    """The families of experts of this package."""
    return (
        PluginDef(
            kind="expert",
            name="lora",
            options=LoraOptions,
            target="mixvel_lora.family:LoraFamily",
            example=lambda: Target(path="mixvel_lora.example:example")(NoOptions()),
            adapts=True,
            files=lambda options: adapter_paths(options.adapters),
            summary="a low-rank adapter a shard on one base, the recipe's monolith, which is in memory once",
        ),
    )


def place_of(folder: Path, index: int) -> Path:
    """The folder, or the file, of adapter ``index``."""
    return Path(str(folder).replace("{k}", str(index)))


def count_of(folder: Path) -> int:
    """How many there are: with {k} = 0, 1, ... for as long as they are there; 1 without {k}.

    Raises AbsentError where the first is not there.
    """
    count = next(k for k in itertools.count() if not place_of(folder, k).exists()) if "{k}" in str(folder) else 1
    if count == 0:
        raise AbsentError(f"{place_of(folder, 0)}: no adapter there; download it, or name the right folder")
    return count


def adapter_paths(folder: Path | None) -> list[Path]:
    """The files of all adapters. Raises AbsentError where the first is not there."""
    if folder is None:
        return []
    places = [place_of(folder, k) for k in range(count_of(folder))]
    found = [path for place in places for path in ([place] if place.is_file() else sorted(place.glob("*.safetensors")))]
    if not found:
        raise AbsentError(f"{places[0]}: no adapter there (safetensors); download it, or name the right folder")
    return found
