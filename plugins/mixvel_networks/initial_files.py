"""Folders of weights that a training starts from, as an option ``initial`` names them. Nothing here imports torch.

Two kinds: a network as diffusers keeps it, by itself or in a pipeline, and the folder of an expert of a mixvel run,
such as RUN/experts/0 or RUN/monolith.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from mixvel_core.errors import AbsentError, DataError
from mixvel_networks.weight_files import model_files, read_json_of, variant_of

STEM = "diffusion_pytorch_model"
_OF_PIPELINES = ("unet", "transformer")
_EXPERT = "model.safetensors"


@frozen(kw_only=True)
class InitialFolder:
    """``config``: its config.json. ``files``: the weights. ``part``: what their names begin with in the files.

    ``is_expert``: whether a mixvel run wrote it.
    """

    config_file: Path
    config: Mapping[str, Any]
    files: tuple[Path, ...]
    part: str
    is_expert: bool


def initial_files(folder: Path | None) -> Sequence[Path]:
    """All files that a training from ``folder`` depends on; none for None. Raises AbsentError where there are none."""
    if folder is None:
        return ()
    found = open_initial(folder)
    # What an expert's config.json says besides is of its run.
    return found.files if found.is_expert else (found.config_file, *found.files)


def open_initial(folder: Path) -> InitialFolder:
    """The folder at ``folder``; its weights are not read. Raises AbsentError or DataError where it is none."""
    if not folder.is_dir():
        raise AbsentError(f"{folder}: no such folder to start from; put the weights there, or name the right one")
    place = next((inner for name in _OF_PIPELINES if (inner := folder / name).is_dir()), folder)
    if not (place / "config.json").is_file():
        raise AbsentError(
            f"{folder}: holds no config.json; name a folder that diffusers wrote, or an expert's, as RUN/experts/0"
        )
    config = read_json_of(place / "config.json")
    is_expert = "_class_name" not in config and (place / _EXPERT).is_file()
    if is_expert:
        files = [place / _EXPERT]
    else:
        convert = "read it with diffusers, and save_pretrained"
        files = model_files(place, STEM, convert, variant_of(place, STEM))
    return InitialFolder(
        config_file=place / "config.json",
        config=config,
        files=tuple(files),
        part="network." if is_expert else "",
        is_expert=is_expert,
    )


def check_initial_class(initial: InitialFolder, classes: Collection[str], family: str) -> None:
    """Raises DataError where the folder holds no network of these ``classes`` of diffusers, nor of the expert
    ``family``."""
    where = initial.config_file.parent
    if initial.is_expert:
        made = initial.config.get("expert")
        name = made.get("use") if isinstance(made, dict) else None
        if name != family:
            raise DataError(f"{where}: is of an expert {name}; expert {family} starts from one of its own kind")
    elif (name := initial.config.get("_class_name")) not in classes:
        raise DataError(f"{where}: holds {name}; expert {family} starts from {' or '.join(sorted(classes))}")
