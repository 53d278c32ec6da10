"""Experts that are a user's own networks: by import path, with weights beside it or its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen
from torch import Tensor, nn

from mixvel_core.errors import RecipeError
from mixvel_core.field.conversions import Prediction
from mixvel_core.protocols import ExpertConfig, NoiseSchedule, Shard
from mixvel_core.training.weights import load_weights
from mixvel_foreign.called import Called, Clocked
from mixvel_foreign.imported import check_trusted, make, state_of
from mixvel_foreign.kept import moments_in, parted, shared
from mixvel_foreign.options import Made, place_of
from mixvel_foreign.tensor_files import files_in, read_checked
from mixvel_foreign.told_time import ToldTime
from mixvel_unet.expert import UNetExpert


@frozen(kw_only=True)
class Read:
    """How a network is read: what it is ``told`` of time, and whether the ``mean`` of its answer is meant."""

    schedule: NoiseSchedule
    told: ToldTime
    prediction: Prediction
    mean: bool = False


@frozen(kw_only=True)
class ModuleFamily:
    """``name``: of the plugin. ``made``: how the network is made.

    ``weights``: where they are, {k} for the shard's number; None: as the factory made them. ``clip``: the denoiser
    within [-1, 1]. ``read``: how the network is to be read, given the recipe's schedule.
    """

    name: str
    made: Made
    weights: Path | None
    clip: bool
    read: Callable[[object, NoiseSchedule], Read]

    def task(self, shard: Shard, schedule: NoiseSchedule) -> None:
        """Nothing to train. Raises RecipeError where its code is not trusted."""
        check_trusted(self.made.module, f"expert {self.name}")

    def tensors(self, shard: Shard, trained: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
        """``network.*``, and ``mean`` and ``variance`` of the shard."""
        network = self._make()
        state = state_of(network)
        if self.weights is not None:
            if not isinstance(network, nn.Module):
                raise RecipeError(f"expert {self.name}: {self.made.module} made no nn.Module; remove the weights")
            state = read_checked(files_in(place_of(self.weights, shard.index, f"expert {self.name}")), state)
        return shared(state, shard)

    def without_moments(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Without mean and variance."""
        return {name: value for name, value in tensors.items() if name not in ("mean", "variance")}

    def is_network(self) -> bool:
        """Not a closed form that is known to be one."""
        return True

    def load(self, config: ExpertConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> UNetExpert:
        """The expert, on the device of ``tensors``, with a schedule of its own if it declares one."""
        network = self._make()
        weights, rest = parted(tensors)
        if isinstance(network, nn.Module):
            load_weights(network, weights, f"expert {config.index}")
            device = next((value.device for value in tensors.values()), None)
            network = network.to(device).eval().requires_grad_(False)
        read = self.read(network, schedule)
        called = Called(network, name=f"expert {config.index}, {self.made.module},", mean=read.mean)
        return UNetExpert(
            schedule=read.schedule,
            moments=moments_in(rest),
            network=Clocked(called, told=read.told),
            prediction=read.prediction,
            clip=self.clip,
        )

    def _make(self) -> Callable[[Tensor, Tensor], Any]:
        return make(self.made.module, self.made.arguments, f"expert {self.name}")
