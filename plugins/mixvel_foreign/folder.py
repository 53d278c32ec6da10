"""A diffusers folder: where its model, its weights and its scheduler's configuration are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from mixvel_core.errors import AbsentError
from mixvel_foreign.tensor_files import model_files, read_json_of

STEM = "diffusion_pytorch_model"
SCHEDULER = "scheduler_config.json"


@frozen(kw_only=True, eq=False)
class Folder:
    """``model``: config.json of the network. ``scheduler``: of its training. ``files``: the weights."""

    model: Mapping[str, Any]
    scheduler: Mapping[str, Any]
    files: tuple[Path, ...]


def open_folder(path: Path, scheduler: Path | None) -> Folder:
    """The folder of a model or of a pipeline; reads no weights.

    Pipelines keep the model in unet/ and the scheduler in scheduler/; the oldest keep both in one folder. Raises
    DataError, saying what to do, where something is absent.
    """
    _check_there(path)
    model = path / "unet" if (path / "unet").is_dir() else path
    convert = (
        'python -c "from diffusers import UNet2DModel; '
        f"UNet2DModel.from_pretrained('{model}').save_pretrained('{model}')\""
    )
    return Folder(
        model=read_json_of(model / "config.json"),
        scheduler=read_json_of(scheduler_file(path, scheduler)),
        files=tuple(model_files(model, STEM, convert)),
    )


def scheduler_file(path: Path, scheduler: Path | None) -> Path:
    """Where the scheduler's configuration is: as told, or in the pipeline, or beside model or folder."""
    if scheduler is not None:
        return scheduler / SCHEDULER if scheduler.is_dir() else scheduler
    _check_there(path)
    places = [path / "scheduler", path, path.parent / "scheduler"]
    found = next((place / SCHEDULER for place in places if (place / SCHEDULER).is_file()), None)
    if found is None:
        raise AbsentError(f"{path}: holds no {SCHEDULER}; say in `scheduler` where the one of its training is")
    return found


def _check_there(path: Path) -> None:
    if not path.is_dir():
        raise AbsentError(
            f"{path}: no such folder; download one with `hf download OWNER/NAME --local-dir {path}`, or save "
            "yours with save_pretrained"
        )
