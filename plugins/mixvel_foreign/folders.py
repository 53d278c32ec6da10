"""A folder from diffusers: what it holds, where it is, and what its network asks for, in this order.

The class comes first: whose weights lie in pickles, or which scheduler goes with them, does not matter for a network
that is not read at all. Nothing of the weights is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from mixvel_core.errors import AbsentError, DataError, RecipeError
from mixvel_foreign.levels import INDEX, levelled_folder, parts_of
from mixvel_foreign.network_configs import CODECS, FOLDERS, OWN, READ, check_inputs, network_class, not_read
from mixvel_networks.weight_files import model_files, read_json_of

STEM = "diffusion_pytorch_model"
SCHEDULER = "scheduler_config.json"
_ADAPTERS = ("pytorch_lora_weights.safetensors", "adapter_config.json", "adapter_model.safetensors")


@frozen(kw_only=True, eq=False)
class DiffusersFolder:
    """``model``: config.json of the network. ``scheduler``: of its training. ``files``: the weights."""

    model: Mapping[str, Any]
    scheduler: Mapping[str, Any]
    files: tuple[Path, ...]


def open_folder(path: Path, scheduler: Path | None, variant: str | None = None, index: int = 0) -> DiffusersFolder:
    """The folder of a model or of a pipeline; reads no weights.

    Pipelines keep the model in unet/ or transformer/ and the scheduler in scheduler/; the oldest keep both in one
    folder. ``variant``: of the weights, as in the names of their files. ``index``: of the expert, where the pipeline
    has two networks for two levels of noise.

    Raises DataError, saying what to do, where it holds no network that is read (``network_configs``), one that asks for
    what is not there, or lacks something.
    """
    check_there(path)
    levels = levelled_folder(path)
    if levels is not None and index not in (0, 1):
        which = "none of them is for the whole data" if index < 0 else f"none of them is for shard {index}"
        one = f"name one, {path / levels.networks[1]}, or two shards"
        raise RecipeError(f"{path}: holds two networks for two levels of noise, and {which}; {one}")
    names = FOLDERS if levels is None else (levels.networks[index],)
    _check_pipeline(path, names)
    model = next((inner for name in names if (inner := path / name).is_dir()), path)
    if not (model / "config.json").is_file():
        raise AbsentError(_without_network(path, model))
    config = read_json_of(model / "config.json")
    name = network_class(config, path)
    check_inputs(config, path)
    load = f"M.from_pretrained('{model}').save_pretrained('{model}')"
    convert = f'python -c "from diffusers import {name} as M; {load}"'
    return DiffusersFolder(
        model=config,
        scheduler=read_json_of(scheduler_file(path, scheduler)),
        files=tuple(model_files(model, STEM, convert, variant)),
    )


def scheduler_file(path: Path, scheduler: Path | None) -> Path:
    """The file of the scheduler's configuration: ``scheduler``, or in the pipeline, or beside model or folder."""
    if scheduler is not None:
        return scheduler / SCHEDULER if scheduler.is_dir() else scheduler
    check_there(path)
    places = [path / "scheduler", path, path.parent / "scheduler"]
    found = next((place / SCHEDULER for place in places if (place / SCHEDULER).is_file()), None)
    if found is None:
        raise AbsentError(f"{path}: holds no {SCHEDULER}; say in `scheduler` where the one of its training is")
    return found


def check_there(path: Path) -> None:
    """Raises AbsentError, with the way to get one, where there is no such folder."""
    if path.is_file():
        raise AbsentError(
            f"{path}: a file, not a folder as diffusers writes it; load it with diffusers (from_single_file), "
            "save_pretrained, and name that folder"
        )
    if not path.is_dir():
        raise AbsentError(
            f"{path}: no such folder; download one with `hf download OWNER/NAME --local-dir {path}`, or save "
            "yours with save_pretrained"
        )


def _check_pipeline(path: Path, names: tuple[str, ...]) -> None:
    """Raises DataError for a pipeline whose network is not read, or works on latents, and for adapters. ``names``:
    where the network may be."""
    if adapter := next((name for name in _ADAPTERS if (path / name).is_file()), None):
        raise DataError(
            f"{path}: holds an adapter (LoRA, {adapter}), which is no network by itself; name its base here, as the "
            "monolith, and this folder in `adapters` of expert lora"
        )
    index = path / INDEX
    if not index.is_file():
        return
    parts = parts_of(read_json_of(index))
    place = next((name for name in names if name in parts), None)
    if place is None:
        listed = ", ".join(parts) or "nothing"
        raise DataError(f"{path}: a pipeline without a unet or a transformer (it has {listed}); {OWN}")
    # What the network is comes first: its own class says more than what lies beside it.
    if parts[place] not in (*READ, "Transformer2DModel"):
        raise DataError(not_read(path, parts[place]))
    codecs = [(name, value) for name, value in parts.items() if value.startswith(CODECS)]
    if codecs:
        name, codec = codecs[0]
        way = f"the network, `path: {path}/{place}`"
        if names != FOLDERS:
            way = f"each of its two networks, `path: {path}/{place}`, in a list of `per-shard`, that nearest data first"
        raise DataError(
            f"{path}: its network works on latents, which {codec} makes of images; as it stands they would pass for "
            f"pixels: name {way}, with `codec: {{use: autoencoder-kl, path: {path}/{name}}}` or data that are such "
            "latents (numpy, `range: as-is`)"
        )


def _without_network(path: Path, model: Path) -> str:
    """What to do about a folder without a config.json."""
    inner = sorted(place.parent for place in path.glob("*/config.json"))
    numbered = [place for place in inner if place.name.isdecimal()] or [
        place.parent for place in sorted(path.glob("*/unet/config.json"))
    ]
    if numbered and model == path:
        names = ", ".join(place.name for place in numbered[:3])
        return f"{path}: holds folders ({names}, ...) and no network; name one of them, or all as {path}/{{k}}"
    if (path / SCHEDULER).is_file() or (path / "scheduler" / SCHEDULER).is_file():
        return (
            f"{path}: holds a scheduler and no network (config.json); name the folder with both, or download all of it"
        )
    return f"{model / 'config.json'}: no such file; download the whole folder, or name the right one"
