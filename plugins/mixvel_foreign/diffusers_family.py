"""Experts that are networks in diffusers folders: nothing is trained, and the run folder keeps its own copy."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from attrs import evolve, frozen
from torch import Tensor, nn

from mixvel_core.artifacts.tensors import loaded
from mixvel_core.data.conditions import conditions_of
from mixvel_core.errors import ArtifactError, RecipeError
from mixvel_core.field.mixture import item_moments
from mixvel_core.protocols import ConditionSpec, ExpertConfig, NoiseSchedule, Shard
from mixvel_foreign.conditioned import ConditionedExpert
from mixvel_foreign.conditions import NULL_TEXT, ConditionReading
from mixvel_foreign.folders import DiffusersFolder, open_folder, scheduler_file
from mixvel_foreign.hooks import DiffusersOptions, place_of
from mixvel_foreign.levels import levelled_folder
from mixvel_foreign.network_configs import channels_of, classes_of, size_of
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
    """The network of a folder, under the schedule of its own training."""

    def task(self, shard: Shard, schedule: NoiseSchedule) -> None:
        """None: nothing is trained. Raises DataError or RecipeError where the folder is absent, or items or their
        conditions are none that its network reads."""
        self._open(shard)

    def tensors(self, shard: Shard, trained: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
        """``network.*``, the folder's configurations as ``config``, and ``mean`` and ``variance`` of the shard."""
        return self._tensors(self._open(shard), shard.index) | moment_tensors(item_moments(shard.items))

    def shapes(self) -> Sequence[tuple[int, ...]]:
        """Of the images of the folders with {k} = 0, 1, ... for as long as they are there; of the one folder else, once
        for each of its networks."""
        return tuple(self.shape_of(k) for k in range(self._count()))

    def conditions(self) -> Sequence[ConditionSpec]:
        """What each sample's condition is for all folders. Raises RecipeError where theirs differ."""
        found = [self.conditions_of(k) for k in range(self._count())]
        for k, one in enumerate(found):
            if one != found[0]:
                raise RecipeError(f"{WHAT}: expert {k} reads {_in_words(one)}, expert 0 {_in_words(found[0])}")
        return found[0]

    def conditions_of(self, index: int) -> tuple[ConditionSpec, ...]:
        """What each sample's condition is for expert ``index``; empty where it reads none."""
        return self._reading(self._folder(index).model, index).own()

    def reads(self, conditions: Sequence[ConditionSpec]) -> Sequence[ConditionSpec]:
        """The one that the option names."""
        return tuple(spec for spec in conditions if spec.name == self.condition)

    def tensors_without_items(self, index: int) -> Mapping[str, Tensor]:
        """The weights as ``network.*``, and ``config``, the folder's configurations."""
        return self._tensors(self._folder(index), index)

    def shape_of(self, index: int) -> tuple[int, ...]:
        """``*data`` of expert ``index``, as its folder says. Raises RecipeError where it does not."""
        path, folder = place_of(self.path, index, WHAT), self._folder(index)
        reading = self._reading(folder.model, index)
        reading.own()
        reading.label(index)
        size = size_of(folder.model)
        if size is None:
            raise RecipeError(f"{WHAT}: {path} does not say for which size its images are; name data of that size")
        return (channels_of(folder.model), *map(int, size if isinstance(size, list) else [size, size]))

    def _count(self) -> int:
        if "{k}" not in str(self.path):
            return 1 if levelled_folder(self.path) is None else 2
        return max(1, next(k for k in itertools.count() if not place_of(self.path, k, WHAT).is_dir()))

    def _tensors(self, folder: DiffusersFolder, index: int) -> dict[str, Tensor]:
        """The weights and the configurations, and what stands for no text."""
        from mixvel_foreign.networks import make_network

        where = str(place_of(self.path, index, WHAT))
        # On the meta device it takes no memory: only names and shapes are read off, before the weights are read.
        with torch.device("meta"):
            expected = make_network(folder.model, where).state_dict()
        weights = read_checked(folder.files, expected, todays_name)
        about = json.dumps({"model": folder.model, "scheduler": folder.scheduler}, sort_keys=True)
        config = torch.frombuffer(bytearray(about.encode()), dtype=torch.uint8)
        null = self._reading(folder.model, index).null_text()
        return weight_tensors(weights) | {_CONFIG: config} | ({} if null is None else {NULL_TEXT: null})

    def without_moments(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The weights and configurations, without mean and variance of the shard."""
        return without_moments(tensors)

    def is_network(self) -> bool:
        """True: the expert is a network, not a closed form."""
        return True

    def load(
        self, config: ExpertConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule
    ) -> NetworkDenoiser | ConditionedExpert:
        """The expert, on the device of ``tensors``, with a schedule of its own."""
        from mixvel_foreign.networks import make_network

        where = f"expert {config.index}"
        try:
            about = json.loads(bytes(tensors[_CONFIG].cpu().tolist()))
            model, scheduler = dict(about["model"]), dict(about["scheduler"])
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            raise ArtifactError(f"{where}: its configurations are damaged ({error}); make it again") from None
        training = training_of(scheduler, where, self.clip)
        inner = loaded(partial(make_network, model, where), network_weights(tensors), where)
        # The file is looked at where the expert is made: what it held is among the tensors.
        null_text = tensors.get(NULL_TEXT)
        length = self.text_length if null_text is None else len(null_text)
        options = evolve(self, null_text=None, text_length=length)
        reading = ConditionReading(options=options, model=model, where=where)
        spec = reading.of_items(config.conditions)
        network = reading.network(inner, config.index, spec, null_text)
        own = training.schedule
        if isinstance(own, SteppedFlow) and schedule == own.flow:
            own = own.flow  # Of the recipe's own schedule: nothing is converted.
        plain = NetworkDenoiser(
            schedule=own,
            moments=stored_moments(tensors),
            network=for_use(self._read(network, training), tensors[_CONFIG].device),
            prediction="x0" if training.style == "edm" else training.prediction,
            clip=training.clip,
        )
        return plain if spec is None else ConditionedExpert(plain=plain, spec=spec)

    def _reading(self, model: Mapping[str, Any], index: int) -> ConditionReading:
        return ConditionReading(options=self, model=model, where=f"{WHAT}: {place_of(self.path, index, WHAT)}")

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
        levels = levelled_folder(path)
        if levels is not None and "{k}" in str(self.path):
            one = path / levels.networks[1]
            raise RecipeError(f"{WHAT}: {path} holds two networks, and {{k}} names one for each shard; name one, {one}")
        folder = open_folder(path, self.scheduler, self.variant, index)
        if levels is not None and self.condition is None and self.label is None and classes_of(folder.model):
            raise RecipeError(
                f"{WHAT}: {path} holds two networks for two levels of noise, which both read a class; set "
                "`condition: class`, or one `label`"
            )
        training_of(folder.scheduler, str(scheduler_file(path, self.scheduler)), self.clip)
        return folder

    def _open(self, shard: Shard) -> DiffusersFolder:
        path, folder = place_of(self.path, shard.index, WHAT), self._folder(shard.index)
        reading = self._reading(folder.model, shard.index)
        reading.of_items(conditions_of(shard))
        reading.label(shard.index)
        channels, size = channels_of(folder.model), size_of(folder.model)
        side = tuple(size) if isinstance(size, list) else (size, size)
        if len(shard.shape) != 3 or shard.shape[0] != channels or (size is not None and shard.shape[1:] != side):
            wanted = f"{channels} x {side[0]} x {side[1]}" if size is not None else f"{channels} channels"
            found = " x ".join(map(str, shard.shape))
            how = "resize them" if shard.shape[:1] == (channels,) else f"give images of {channels} channels"
            raise RecipeError(f"{WHAT}: {path} is for images of {wanted}, the data are {found}; {how}")
        return folder


def _in_words(specs: Sequence[ConditionSpec]) -> str:
    listed = (f"{spec.name} ({spec.classes or ' x '.join(map(str, spec.shape))})" for spec in specs)
    return ", ".join(listed) or "nothing"
