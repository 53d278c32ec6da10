"""What was trained, and how long: the networks of a run in words, from what their trainings have left."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen
from safetensors import SafetensorError, safe_open

from mixvel_core.artifacts.files import read_json
from mixvel_core.errors import ArtifactError
from mixvel_core.pipeline.shared_experts import FOLDER
from mixvel_core.plugin.definition import Use
from mixvel_core.report.figures import amount
from mixvel_core.report.inputs import Inputs
from mixvel_core.training.log import SPEED_FILE, read_losses
from mixvel_core.training.options import TrainOptions

TRAINED = "trained.safetensors"
"""The result of a training (``training.checkpoint``, which needs torch)."""


@frozen(kw_only=True)
class TrainedNetworks:
    """Networks of one kind. ``weights``: numbers of one of them; None where its training is not here. ``steps``, of
    ``batch`` items each. ``rate``: items a second of one training, a mean; None where none was timed."""

    name: str
    count: int
    weights: int | None
    steps: int
    batch: int
    rate: float | None
    device: str

    def words(self) -> str:
        """As in "10 experts of 159,697 weights each, 220 steps of 32 items at 1,816 items/s on cpu"."""
        named = f"{self.count} {self.name}s" if self.count > 1 else self.name
        each = " each" if self.count > 1 else ""
        size = f" of {amount(self.weights)} weights{each}" if self.weights is not None else ""
        speed = f" at {self.rate:,.3g} items/s" if self.rate is not None and self.rate < 1000 else ""
        speed = speed or (f" at {self.rate:,.0f} items/s" if self.rate is not None else "")
        device = f" on {self.device}" if speed else ""
        return f"{named}{size}, {amount(self.steps)} steps of {amount(self.batch)} items{speed}{device}"


def trainings(inputs: Inputs) -> tuple[TrainedNetworks, ...]:
    """Experts, monolith and the networks of routers, as far as anything was trained for them."""
    return tuple(_trainings(inputs))


def _trainings(inputs: Inputs) -> Iterator[TrainedNetworks]:
    recipe, folder = inputs.recipe, inputs.folder
    if recipe.expert.is_shared:
        yield from _of("network of all experts", recipe.expert, [folder / "experts" / FOLDER])
    else:
        places = [folder / "experts" / str(part.index) for part in inputs.shards.parts]
        yield from _of("expert", recipe.expert, places)
    if recipe.monolith is not None:
        yield from _of("monolith", recipe.monolith, [folder / "monolith"])
    for name, use in recipe.routers.items():
        yield from _of(f"router {name}", use, sorted((folder / "routers" / name).glob("*/")), networks=True)


def _of(name: str, use: Use[Any], folders: list[Path], *, networks: bool = False) -> Iterator[TrainedNetworks]:
    options = _options(use)
    found = [(path, losses) for path in folders if (losses := read_losses(path / "losses.csv"))]
    if options is None or not found:
        return
    speeds = [speed for path, _ in found if (speed := _speed(path))]
    rates = [float(speed["images_per_second"]) for speed in speeds if "images_per_second" in speed]
    yield TrainedNetworks(
        name=f"{name}, network" if networks and len(found) > 1 else name,
        count=len(found),
        weights=_weights(found[0][0] / TRAINED),
        steps=int(max(losses["step"][-1] for _, losses in found)),
        batch=options.batch,
        rate=sum(rates) / len(rates) if rates else None,
        device=", ".join(sorted({str(speed.get("device", "")) for speed in speeds} - {""})),
    )


def _options(use: Use[Any]) -> TrainOptions | None:
    values = attrs.asdict(use.options, recurse=False).values()
    return next((value for value in values if isinstance(value, TrainOptions)), None)


def _speed(folder: Path) -> Mapping[str, Any]:
    """What was measured of a training's speed; {} where nothing was, or it cannot be read."""
    try:
        found = read_json(folder / SPEED_FILE)
    except ArtifactError:
        return {}
    return found if isinstance(found, dict) else {}


def _weights(path: Path) -> int | None:
    """How many numbers a file of tensors holds, from its header alone."""
    try:
        with safe_open(str(path), framework="np") as file:
            return sum(int(math.prod(file.get_slice(name).get_shape())) for name in file.keys())  # noqa: SIM118  # a safetensors file is no mapping
    except (OSError, SafetensorError):
        return None
