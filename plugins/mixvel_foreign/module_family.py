"""Experts that are a user's own networks, by import path, and mixtures of experts of different families.

A recipe may be a stranger's, or lie in a stranger's run folder, and ``os:system`` is an import path too. So a recipe
alone runs nothing: whoever runs mixvel names the packages that may be imported, in the environment (MIXVEL_TRUST).
"""

from __future__ import annotations

import importlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from attrs import frozen
from torch import Tensor, nn

from mixvel_core.artifacts.tensors import load_weights
from mixvel_core.errors import RecipeError
from mixvel_core.field.conversions import Prediction
from mixvel_core.field.mixture import item_moments
from mixvel_core.plugin.definition import ExpertUse, ScheduleUse
from mixvel_core.protocols import Expert, ExpertConfig, ExpertFamily, NoiseSchedule, PretrainedFamily, Shard, TrainTask
from mixvel_core.randomness import seeded
from mixvel_foreign.azula import Called, Clocked, TimeConvention, schedule_of
from mixvel_foreign.options import Argument, AzulaOptions, ParisOptions, TorchModuleOptions, place_of
from mixvel_foreign.tensor_files import files_in, read_checked
from mixvel_networks.denoiser import NetworkDenoiser
from mixvel_networks.stored import for_use, network_weights, stored_moments, stored_tensors, without_moments

TRUST = "MIXVEL_TRUST"
_OURS = "mixvel_foreign.examples"


def check_trusted(path: str, what: str) -> None:
    """Raises RecipeError, naming ``what`` asks, unless the module of ``path``, or a package it is in, is trusted."""
    module = path.partition(":")[0]
    trusted = {name.strip() for name in os.environ.get(TRUST, "").split(",")} | {_OURS}
    parts = module.split(".")
    if not any(".".join(parts[: i + 1]) in trusted for i in range(len(parts))):
        raise RecipeError(
            f"{what}: {path} is code that the recipe wants to run as you; if you trust it, set {TRUST}={parts[0]}"
        )


def make(path: str, arguments: Mapping[str, Any], what: str) -> Callable[[Tensor, Tensor], Any]:
    """The network that the factory at ``package.module:name`` makes.

    The random numbers of its initial weights are the same every time. Raises RecipeError, naming ``what`` asks, where
    it is not trusted, cannot be imported, does not take the arguments, or makes nothing that can be called.
    """
    check_trusted(path, what)
    module, _, name = path.partition(":")
    try:
        factory = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise RecipeError(
            f"{what}: {path}: no module {error.name}; install it, or run with PYTHONPATH=FOLDER of it"
        ) from None
    except AttributeError:
        raise RecipeError(f"{what}: {path}: {module} has no {name}") from None
    # Whatever a user's module raises while it is imported.
    except Exception as error:
        raise RecipeError(f"{what}: {path}: importing it raised {type(error).__name__}: {error}") from error
    try:
        with seeded(0):
            made = factory(**arguments)
    except Exception as error:
        raise RecipeError(f"{what}: {path} raised {type(error).__name__}: {error}") from error
    if not callable(made):
        raise RecipeError(f"{what}: {path} made a {type(made).__name__}, which cannot be called")
    network: Callable[[Tensor, Tensor], Any] = made
    return network


def state_of(network: object) -> dict[str, Tensor]:
    """The state of a module; nothing for any other callable."""
    return dict(network.state_dict()) if isinstance(network, nn.Module) else {}


@frozen(kw_only=True)
class PerShardFamily:
    """``families``: one for each shard, in their order. Everything is asked of the shard's own."""

    families: tuple[ExpertFamily, ...]

    def task(self, shard: Shard, schedule: NoiseSchedule) -> TrainTask | None:
        """The family's."""
        return self._of(shard.index).task(shard, schedule)

    def tensors(self, shard: Shard, trained: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
        """The family's."""
        return self._of(shard.index).tensors(shard, trained)

    def load(self, config: ExpertConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> Expert:
        """The family's."""
        return self._of(config.index).load(config, tensors, schedule)

    def is_network(self) -> bool:
        """Whether any is."""
        return any(isinstance(family, PretrainedFamily) and family.is_network() for family in self.families)

    def _of(self, index: int) -> ExpertFamily:
        if not 0 <= index < len(self.families):
            which = f"shard {index}" if index >= 0 else "the monolith"
            raise RecipeError(f"expert per-shard: {len(self.families)} experts, and none of them is for {which}")
        return self.families[index]


def per_shard(*, experts: tuple[ExpertUse, ...]) -> PerShardFamily:
    """The family of each shard, built from its slot of the recipe."""
    return PerShardFamily(families=tuple(use.build() for use in experts))


@frozen(kw_only=True)
class Read:
    """How a network is read. ``told``: the time it is given. ``mean``: the mean of its answer counts."""

    schedule: NoiseSchedule
    told: TimeConvention
    prediction: Prediction
    mean: bool = False


class ModuleFamily(ABC):
    """Experts that are networks made by a factory in a user's own code. Nothing is trained.

    Subclasses are their options too, and say how the network is read.
    """

    __slots__ = ()
    name: ClassVar[str]
    module: str
    arguments: Mapping[str, Argument]
    clip: bool

    @property
    @abstractmethod
    def files(self) -> Path | None:
        """Where the weights are, {k} for the shard's number; None: as the factory made them."""

    @abstractmethod
    def read(self, network: object, schedule: NoiseSchedule) -> Read:
        """How the network is read, given the recipe's schedule."""

    def task(self, shard: Shard, schedule: NoiseSchedule) -> None:
        """Nothing to train. Raises RecipeError where its code is not trusted."""
        check_trusted(self.module, f"expert {self.name}")

    def tensors(self, shard: Shard, trained: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
        """``network.*``, and ``mean`` and ``variance`` of the shard."""
        network = self._make()
        state = state_of(network)
        if self.files is not None:
            if not isinstance(network, nn.Module):
                raise RecipeError(f"expert {self.name}: {self.module} made no nn.Module; remove the weights")
            state = read_checked(files_in(place_of(self.files, shard.index, f"expert {self.name}")), state)
        return stored_tensors(state, item_moments(shard.items))

    def without_moments(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The weights, without mean and variance of the shard."""
        return without_moments(tensors)

    def is_network(self) -> bool:
        """Not a closed form that is known to be one."""
        return True

    def load(self, config: ExpertConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> NetworkDenoiser:
        """The expert, on the device of ``tensors``, with a schedule of its own if it declares one."""
        network = self._make()
        if isinstance(network, nn.Module):
            load_weights(network, network_weights(tensors), f"expert {config.index}")
            network = for_use(network, next((value.device for value in tensors.values()), None))
        read = self.read(network, schedule)
        called = Called(network, name=f"expert {config.index}, {self.module},", mean=read.mean)
        return NetworkDenoiser(
            schedule=read.schedule,
            moments=stored_moments(tensors),
            network=Clocked(called, told=read.told),
            prediction=read.prediction,
            clip=self.clip,
        )

    def _make(self) -> Callable[[Tensor, Tensor], Any]:
        return make(self.module, self.arguments, f"expert {self.name}")


class _DeclaredFamily(ModuleFamily):
    """A family whose options declare schedule, time and prediction of the network."""

    __slots__ = ()
    schedule: ScheduleUse | None
    time: Literal["unit", "scaled", "entries"]
    length: int
    timesteps: Literal["continuous", "rounded"]
    prediction: Prediction

    def read(self, network: object, schedule: NoiseSchedule) -> Read:
        """As the options declare; the recipe's schedule where they name none."""
        told = TimeConvention(time=self.time, length=self.length, rounded=self.timesteps == "rounded")
        own = schedule if self.schedule is None else self.schedule.build()
        return Read(schedule=own, told=told, prediction=self.prediction)


@frozen(kw_only=True)
class TorchModuleFamily(TorchModuleOptions, _DeclaredFamily):
    """Networks by import path, with the weights of each shard in a file or folder of its own, or none."""

    name: ClassVar[str] = "torch-module"

    @property
    def files(self) -> Path | None:
        """The option ``weights``, with {k} for the shard's number."""
        return self.weights


@frozen(kw_only=True)
class ParisFamily(ParisOptions, _DeclaredFamily):
    """Networks by import path, with their weights in expert_0/, expert_1/, ... of one folder."""

    name: ClassVar[str] = "paris"

    @property
    def files(self) -> Path:
        """The expert's own folder below ``path``."""
        return self.path / "expert_{k}"


@frozen(kw_only=True)
class AzulaFamily(AzulaOptions, ModuleFamily):
    """Denoisers of azula by import path, under their own schedule."""

    name: ClassVar[str] = "azula"

    @property
    def files(self) -> Path | None:
        """The option ``weights``, with {k} for the shard's number."""
        return self.weights

    def read(self, network: object, schedule: NoiseSchedule) -> Read:
        """The mean of its answer is x_0, at its own times and under its own schedule."""
        return Read(
            schedule=schedule_of(network, "expert azula"),
            told=TimeConvention(time="unit", length=1, rounded=False),
            prediction="x0",
            mean=True,
        )
