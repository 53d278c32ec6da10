"""Experts that are UNet2DModels in diffusers folders: nothing is trained, and the run folder keeps its own copy."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from attrs import frozen
from torch import Tensor, nn

from mixvel_core.artifacts.tensors import loaded
from mixvel_core.errors import AbsentError, ArtifactError, RecipeError
from mixvel_core.field.mixture import item_moments
from mixvel_core.protocols import ExpertConfig, NoiseSchedule, Shard
from mixvel_foreign.hooks import DiffusersOptions, place_of
from mixvel_foreign.noise_paths import EDMDenoiser, EDMSchedule
from mixvel_foreign.scheduler import NetworkTraining, training_of
from mixvel_foreign.tensor_files import model_files, read_checked, read_json_of
from mixvel_foreign.user_networks import TimeConvention, TimedNetwork
from mixvel_networks.denoiser import (
    NetworkDenoiser,
    for_use,
    moment_tensors,
    network_weights,
    stored_moments,
    weight_tensors,
    without_moments,
)

STEM = "diffusion_pytorch_model"
SCHEDULER = "scheduler_config.json"


@frozen(kw_only=True, eq=False)
class DiffusersFolder:
    """``model``: config.json of the network. ``scheduler``: of its training. ``files``: the weights."""

    model: Mapping[str, Any]
    scheduler: Mapping[str, Any]
    files: tuple[Path, ...]


def open_folder(path: Path, scheduler: Path | None) -> DiffusersFolder:
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
    return DiffusersFolder(
        model=read_json_of(model / "config.json"),
        scheduler=read_json_of(scheduler_file(path, scheduler)),
        files=tuple(model_files(model, STEM, convert)),
    )


def scheduler_file(path: Path, scheduler: Path | None) -> Path:
    """The file of the scheduler's configuration: ``scheduler``, or in the pipeline, or beside model or folder."""
    if scheduler is not None:
        return scheduler / SCHEDULER if scheduler.is_dir() else scheduler
    _check_there(path)
    places = [path / "scheduler", path, path.parent / "scheduler"]
    found = next((place / SCHEDULER for place in places if (place / SCHEDULER).is_file()), None)
    if found is None:
        raise AbsentError(f"{path}: holds no {SCHEDULER}; say in `scheduler` where the one of its training is")
    return found


def folder_schedule(*, path: Path) -> NoiseSchedule:
    """The schedule that the networks of a diffusers folder were trained under."""
    file = scheduler_file(path, None)
    return training_of(read_json_of(file), str(file), clip=False).schedule


def _check_there(path: Path) -> None:
    if not path.is_dir():
        raise AbsentError(
            f"{path}: no such folder; download one with `hf download OWNER/NAME --local-dir {path}`, or save "
            "yours with save_pretrained"
        )


_CONFIG = "config"
WHAT = "expert diffusers"


@frozen(kw_only=True)
class DiffusersFamily(DiffusersOptions):
    """The UNet2DModel of a folder, under the schedule of its own training."""

    def task(self, shard: Shard, schedule: NoiseSchedule) -> None:
        """None: nothing is trained. Raises DataError or RecipeError where the folder is absent or of another shape."""
        self._open(shard)

    def tensors(self, shard: Shard, trained: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
        """``network.*``, the folder's configurations as ``config``, and ``mean`` and ``variance`` of the shard."""
        return self._tensors(self._open(shard), shard.index) | moment_tensors(item_moments(shard.items))

    def shapes(self) -> Sequence[tuple[int, ...]]:
        """Of the images of the folders with {k} = 0, 1, ... for as long as they are there; of the one folder else."""
        count = 1
        if "{k}" in str(self.path):
            count = max(1, next(k for k in itertools.count() if not place_of(self.path, k, WHAT).is_dir()))
        return tuple(self.shape_of(k) for k in range(count))

    def tensors_without_items(self, index: int) -> Mapping[str, Tensor]:
        """The weights as ``network.*``, and ``config``, the folder's configurations."""
        return self._tensors(open_folder(place_of(self.path, index, WHAT), self.scheduler), index)

    def shape_of(self, index: int) -> tuple[int, ...]:
        """``*data`` of expert ``index``, as its folder says. Raises RecipeError where it does not."""
        path = place_of(self.path, index, WHAT)
        folder = open_folder(path, self.scheduler)
        training_of(folder.scheduler, str(path), self.clip)
        self._label(folder.model, index)
        size = folder.model.get("sample_size")
        if size is None:
            raise RecipeError(f"{WHAT}: {path} does not say for which size its images are; name data of that size")
        side = size if isinstance(size, list) else [size, size]
        return (int(folder.model.get("in_channels", 3)), *map(int, side))

    def _tensors(self, folder: DiffusersFolder, index: int) -> dict[str, Tensor]:
        """The weights and the configurations."""
        from mixvel_foreign.unet2d import make_unet2d, todays_name

        where = str(place_of(self.path, index, WHAT))
        # On the meta device it takes no memory: only names and shapes are read off, before the weights are read.
        with torch.device("meta"):
            expected = make_unet2d(folder.model, where).state_dict()
        weights = read_checked(folder.files, expected, todays_name)
        about = json.dumps({"model": folder.model, "scheduler": folder.scheduler}, sort_keys=True)
        config = torch.frombuffer(bytearray(about.encode()), dtype=torch.uint8)
        return weight_tensors(weights) | {_CONFIG: config}

    def without_moments(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The weights and configurations, without mean and variance of the shard."""
        return without_moments(tensors)

    def is_network(self) -> bool:
        """True: the expert is a network, not a closed form."""
        return True

    def load(self, config: ExpertConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> NetworkDenoiser:
        """The expert, on the device of ``tensors``, with a schedule of its own."""
        from mixvel_foreign.unet2d import Unconditional, make_unet2d

        where = f"expert {config.index}"
        try:
            about = json.loads(bytes(tensors[_CONFIG].cpu().tolist()))
            model, scheduler = dict(about["model"]), dict(about["scheduler"])
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            raise ArtifactError(f"{where}: its configurations are damaged ({error}); make it again") from None
        training = training_of(scheduler, where, self.clip)
        unet = loaded(partial(make_unet2d, model, where), network_weights(tensors), where)
        network = Unconditional(unet, label=self._label(model, config.index))
        return NetworkDenoiser(
            schedule=training.schedule,
            moments=stored_moments(tensors),
            network=for_use(self._read(network, training), tensors[_CONFIG].device),
            prediction="x0" if training.style == "edm" else training.prediction,
            clip=training.clip,
        )

    def _read(self, network: nn.Module, training: NetworkTraining) -> nn.Module:
        """The network as a function of (x, t)."""
        if isinstance(training.schedule, EDMSchedule):
            velocity = training.prediction == "v"
            return EDMDenoiser(network, schedule=training.schedule, sigma_data=training.sigma_data, velocity=velocity)
        time: Literal["entries", "scaled"] = "entries" if training.style == "table" else "scaled"
        rounded = self.timesteps == "rounded"
        return TimedNetwork(network, convention=TimeConvention(time=time, length=training.length, rounded=rounded))

    def _open(self, shard: Shard) -> DiffusersFolder:
        path = place_of(self.path, shard.index, WHAT)
        folder = open_folder(path, self.scheduler)
        training_of(folder.scheduler, str(path), self.clip)
        self._label(folder.model, shard.index)
        channels, size = folder.model.get("in_channels", 3), folder.model.get("sample_size")
        side = tuple(size) if isinstance(size, list) else (size, size)
        if len(shard.shape) != 3 or shard.shape[0] != channels or (size is not None and shard.shape[1:] != side):
            wanted = f"{channels} x {side[0]} x {side[1]}" if size is not None else f"{channels} channels"
            raise RecipeError(f"{WHAT}: {path} is for images of {wanted}, the data are {shard.shape}; resize the data")
        return folder

    def _label(self, model: Mapping[str, Any], index: int) -> int | None:
        """The class that it is given; None for a network without classes."""
        classes = model.get("num_class_embeds")
        if classes is None:
            return None
        label = index if self.label is None else self.label
        if not 0 <= label < int(classes):
            raise RecipeError(
                f"{WHAT}: {self.path} has classes 0 to {int(classes) - 1}, and {label} is none; name a `label`"
            )
        return label
