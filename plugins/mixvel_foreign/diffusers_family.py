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
from mixvel_core.errors import ArtifactError, RecipeError
from mixvel_core.field.mixture import item_moments
from mixvel_core.protocols import ExpertConfig, NoiseSchedule, Shard
from mixvel_foreign.folders import DiffusersFolder, open_folder, scheduler_file
from mixvel_foreign.hooks import DiffusersOptions, place_of
from mixvel_foreign.noise_paths import EDMDenoiser, EDMSchedule, SteppedFlow
from mixvel_foreign.scheduler import NetworkTraining, training_of
from mixvel_foreign.user_networks import TimeConvention, TimedNetwork
from mixvel_networks.checked_weights import read_checked
from mixvel_networks.denoiser import (
    NetworkDenoiser,
    for_use,
    moment_tensors,
    network_weights,
    stored_moments,
    weight_tensors,
    without_moments,
)
from mixvel_networks.weight_files import read_json_of, todays_name


def folder_schedule(*, path: Path) -> NoiseSchedule:
    """The schedule that the networks of a diffusers folder were trained under."""
    file = scheduler_file(path, None)
    return training_of(read_json_of(file), str(file), clip=False).schedule


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
        return self._tensors(self._folder(index), index)

    def shape_of(self, index: int) -> tuple[int, ...]:
        """``*data`` of expert ``index``, as its folder says. Raises RecipeError where it does not."""
        path, folder = place_of(self.path, index, WHAT), self._folder(index)
        self._label(folder.model, index)
        size = folder.model.get("sample_size")
        if size is None:
            raise RecipeError(f"{WHAT}: {path} does not say for which size its images are; name data of that size")
        side = size if isinstance(size, list) else [size, size]
        return (int(folder.model.get("in_channels", 3)), *map(int, side))

    def _tensors(self, folder: DiffusersFolder, index: int) -> dict[str, Tensor]:
        """The weights and the configurations."""
        from mixvel_foreign.unet2d import make_unet2d

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
        own = training.schedule
        if isinstance(own, SteppedFlow) and schedule == own.flow:
            own = own.flow  # Of the recipe's own schedule: nothing is converted.
        return NetworkDenoiser(
            schedule=own,
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

    def _folder(self, index: int) -> DiffusersFolder:
        """The folder of expert ``index``. Raises DataError where it is absent, or not to be read."""
        path = place_of(self.path, index, WHAT)
        folder = open_folder(path, self.scheduler, self.variant)
        training_of(folder.scheduler, str(scheduler_file(path, self.scheduler)), self.clip)
        return folder

    def _open(self, shard: Shard) -> DiffusersFolder:
        path, folder = place_of(self.path, shard.index, WHAT), self._folder(shard.index)
        self._label(folder.model, shard.index)
        channels, size = folder.model.get("in_channels", 3), folder.model.get("sample_size")
        side = tuple(size) if isinstance(size, list) else (size, size)
        if len(shard.shape) != 3 or shard.shape[0] != channels or (size is not None and shard.shape[1:] != side):
            wanted = f"{channels} x {side[0]} x {side[1]}" if size is not None else f"{channels} channels"
            found = " x ".join(map(str, shard.shape))
            how = "resize them" if shard.shape[:1] == (channels,) else f"give images of {channels} channels"
            raise RecipeError(f"{WHAT}: {path} is for images of {wanted}, the data are {found}; {how}")
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
