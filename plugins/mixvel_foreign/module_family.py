"""Experts that are networks of a user's own code, by import path, and mixtures of experts of different families."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from attrs import field, frozen
from torch import Tensor, nn

from mixvel_core.artifacts.tensors import load_weights
from mixvel_core.errors import RecipeError
from mixvel_core.field.conversions import Prediction
from mixvel_core.field.mixture import item_moments
from mixvel_core.protocols import (
    ConditionalFamily,
    ConditionSpec,
    Expert,
    ExpertConfig,
    ExpertFamily,
    NoiseSchedule,
    PretrainedFamily,
    SchedulePoint,
    Shard,
    TrainTask,
)
from mixvel_foreign.diffusers_family import DiffusersFamily
from mixvel_foreign.hooks import (
    AzulaOptions,
    FactoryOptions,
    ParisOptions,
    PerShardOptions,
    PredictionOptions,
    TorchModuleOptions,
    place_of,
)
from mixvel_foreign.user_networks import TimeConvention, TimedNetwork, UserNetwork, check_trusted, make
from mixvel_networks.checked_weights import read_checked
from mixvel_networks.denoiser import (
    NetworkDenoiser,
    for_use,
    network_weights,
    stored_moments,
    stored_tensors,
    without_moments,
)
from mixvel_networks.weight_files import files_in


@frozen(kw_only=True)
class PerShardFamily(PerShardOptions):
    """A family of its own for each shard: ``families``, in the order of the shards."""

    families: tuple[ExpertFamily, ...] = field(init=False)

    @families.default
    def _families(self) -> tuple[ExpertFamily, ...]:
        return tuple(use.build() for use in self.experts)

    def task(self, shard: Shard, schedule: NoiseSchedule) -> TrainTask | None:
        """The task of the shard's own family."""
        return self._of(shard.index).task(shard, schedule)

    def tensors(self, shard: Shard, trained: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
        """The tensors of the shard's own family."""
        return self._of(shard.index).tensors(shard, trained)

    def load(self, config: ExpertConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> Expert:
        """The expert of the shard's own family."""
        return self._of(config.index).load(config, tensors, schedule)

    def is_network(self) -> bool:
        """Whether any of the families is one of networks."""
        return any(isinstance(family, PretrainedFamily) and family.is_network() for family in self.families)

    def shapes(self) -> Sequence[tuple[int, ...]]:
        """Of the items of each family's expert. Raises RecipeError where one needs the items of its shard."""
        return tuple(self._checkpoint(index).shape_of(index) for index in range(len(self.families)))

    def conditions(self) -> Sequence[ConditionSpec]:
        """Of all families together. Raises RecipeError where two have other values of one name."""
        found: dict[str, ConditionSpec] = {}
        for index in range(len(self.families)):
            for spec in self._checkpoint(index).conditions_of(index):
                if found.setdefault(spec.name, spec) != spec:
                    raise RecipeError(
                        f"expert per-shard: experts[{index}] reads another {spec.name} than those before it; name "
                        "networks that read the same"
                    )
        return tuple(found.values())

    def reads(self, conditions: Sequence[ConditionSpec]) -> Sequence[ConditionSpec]:
        """What any of the families reads."""
        each = [one.reads(conditions) for one in self.families if isinstance(one, ConditionalFamily)]
        return tuple(spec for spec in conditions if any(spec in read for read in each))

    def tensors_without_items(self, index: int) -> Mapping[str, Tensor]:
        """Those of the shard's own family."""
        return self._checkpoint(index).tensors_without_items(index)

    def _checkpoint(self, index: int) -> DiffusersFamily:
        family = self._of(index)
        if not isinstance(family, DiffusersFamily):
            raise RecipeError(
                f"expert per-shard: `data` is null, and experts[{index}] ({self.experts[index].name}) needs the items "
                "of its shard; name data, or a diffusers folder"
            )
        return family

    def _of(self, index: int) -> ExpertFamily:
        if not 0 <= index < len(self.families):
            which = f"shard {index}" if index >= 0 else "the monolith"
            raise RecipeError(f"expert per-shard: {len(self.families)} experts, and none of them is for {which}")
        return self.families[index]


@frozen(kw_only=True)
class NetworkReading:
    """How a network is read. ``mean``: whether the mean of its output, a distribution, is the prediction."""

    schedule: NoiseSchedule
    convention: TimeConvention
    prediction: Prediction
    mean: bool = False


@frozen(kw_only=True)
class ModuleFamily(FactoryOptions, ABC):
    """Experts that are networks made by a factory in a user's own code. Nothing is trained.

    A subclass is its options too, and defines how the network is read.
    """

    name: ClassVar[str]

    @property
    @abstractmethod
    def clip(self) -> bool:
        """Whether the denoiser is kept within [-1, 1]."""

    @property
    @abstractmethod
    def weights(self) -> Path | None:
        """Where the weights are, {k} for the shard's number; None: as the factory made them."""

    @abstractmethod
    def read(self, network: object, schedule: NoiseSchedule) -> NetworkReading:
        """How the network is read, given the recipe's schedule."""

    def task(self, shard: Shard, schedule: NoiseSchedule) -> None:
        """None: nothing is trained. Raises RecipeError where its code is not trusted."""
        check_trusted(self.module, f"expert {self.name}")

    def tensors(self, shard: Shard, trained: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
        """``network.*``, and ``mean`` and ``variance`` of the shard."""
        network = self._make()
        state = dict(network.state_dict()) if isinstance(network, nn.Module) else {}
        if self.weights is not None:
            if not isinstance(network, nn.Module):
                raise RecipeError(f"expert {self.name}: {self.module} made no nn.Module; remove the weights")
            state = read_checked(files_in(place_of(self.weights, shard.index, f"expert {self.name}")), state)
        return stored_tensors(state, item_moments(shard.items))

    def without_moments(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The weights, without mean and variance of the shard."""
        return without_moments(tensors)

    def is_network(self) -> bool:
        """True: nothing is known of the network's form."""
        return True

    def load(self, config: ExpertConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> NetworkDenoiser:
        """The expert, on the device of ``tensors``, with a schedule of its own if it declares one."""
        network = self._make()
        if isinstance(network, nn.Module):
            load_weights(network, network_weights(tensors), f"expert {config.index}")
            network = for_use(network, next((value.device for value in tensors.values()), None))
        reading = self.read(network, schedule)
        user_network = UserNetwork(network, name=f"expert {config.index}, {self.module},", mean=reading.mean)
        return NetworkDenoiser(
            schedule=reading.schedule,
            moments=stored_moments(tensors),
            network=TimedNetwork(
                user_network,
                convention=reading.convention,
                backwards=reading.convention.reversed_time and reading.prediction == "flow",
            ),
            prediction=reading.prediction,
            clip=self.clip,
        )

    def _make(self) -> Callable[[Tensor, Tensor], Any]:
        return make(self.module, self.arguments, f"expert {self.name}")


@frozen(kw_only=True)
class _DeclaredFamily(PredictionOptions, ModuleFamily):
    """A family whose options declare schedule, time and prediction of the network."""

    def read(self, network: object, schedule: NoiseSchedule) -> NetworkReading:
        """As the options declare; the recipe's schedule where they name none."""
        convention = TimeConvention(
            time=self.time,
            length=self.length,
            rounded=self.timesteps == "rounded",
            reversed_time=self.reversed_time,
        )
        own = schedule if self.schedule is None else self.schedule.build()
        return NetworkReading(schedule=own, convention=convention, prediction=self.prediction)


@frozen(kw_only=True)
class TorchModuleFamily(TorchModuleOptions, _DeclaredFamily):
    """Networks by import path, with the weights of each shard in a file or folder of its own, or none."""

    name: ClassVar[str] = "torch-module"


@frozen(kw_only=True)
class ParisFamily(ParisOptions, _DeclaredFamily):
    """Networks by import path, with their weights in expert_0/, expert_1/, ... of one folder."""

    name: ClassVar[str] = "paris"

    @property
    def weights(self) -> Path:
        """The expert's own folder below ``path``."""
        return self.path / "expert_{k}"


@frozen(kw_only=True)
class ByAutograd:
    """The schedule of ``pair``, t -> (alpha, sigma), with its derivatives by autograd.

    It need not begin at clean data or end at pure noise: see ``mixvel_core.sampling.snr_matched``.
    """

    pair: Callable[[Tensor], tuple[Tensor, Tensor]]

    def at(self, t: Tensor) -> SchedulePoint:
        """alpha and sigma of ``pair`` at t, and their derivatives."""
        with torch.inference_mode(False), torch.enable_grad():
            u = t.detach().clone().requires_grad_()
            alpha, sigma = self.pair(u)
            d_alpha, d_sigma = _slope(alpha, u), _slope(sigma, u)
            dd_alpha = _slope(d_alpha, u)
        return SchedulePoint(
            alpha=alpha.detach(),
            sigma=sigma.detach(),
            d_alpha=d_alpha.detach(),
            d_sigma=d_sigma.detach(),
            dd_alpha=dd_alpha.detach(),
        )


def _slope(value: Tensor, u: Tensor) -> Tensor:
    # A constant, as alpha of variance exploding paths, has no graph.
    if not value.requires_grad:
        return torch.zeros_like(u)
    (slope,) = torch.autograd.grad(value.sum(), u, create_graph=True, allow_unused=True)
    return torch.zeros_like(u) if slope is None else slope


def schedule_of(denoiser: object, what: str) -> NoiseSchedule:
    """The schedule that an azula denoiser carries. Raises RecipeError where it carries none, or one that rises."""
    pair = getattr(denoiser, "schedule", None)
    if not callable(pair):
        raise RecipeError(f"{what}: the denoiser has no schedule; the factory must return an azula.denoise.Denoiser")
    schedule = ByAutograd(pair=pair)
    p = schedule.at(torch.linspace(0.0, 1.0, 33, dtype=torch.float64))
    angle = torch.atan2(p.sigma, p.alpha)
    if not bool((angle[1:] > angle[:-1]).all()):
        raise RecipeError(f"{what}: alpha/sigma of its schedule does not fall with t")
    return schedule


@frozen(kw_only=True)
class AzulaFamily(AzulaOptions, ModuleFamily):
    """Denoisers of azula by import path, under their own schedule."""

    name: ClassVar[str] = "azula"

    def read(self, network: object, schedule: NoiseSchedule) -> NetworkReading:
        """The mean of its output is x_0, at its own times and under its own schedule."""
        return NetworkReading(
            schedule=schedule_of(network, "expert azula"),
            convention=TimeConvention(time="unit", length=1, rounded=False),
            prediction="x0",
            mean=True,
        )
