"""The router of a Paris-style folder: a classifier of noisy points, its network given by import path."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen
from torch import Tensor, nn

from mixvel_core.artifacts.tensors import load_weights
from mixvel_core.errors import RecipeError, SamplingError
from mixvel_core.field.angle import match_snr
from mixvel_core.field.conversions import expand
from mixvel_core.protocols import NoiseSchedule, RouterConfig, Shard, TrainTask
from mixvel_foreign.hooks import ParisRouterOptions
from mixvel_foreign.user_networks import TimeConvention, TimedNetwork, UserNetwork, check_trusted, make
from mixvel_networks.checked_weights import read_checked
from mixvel_networks.denoiser import for_use
from mixvel_networks.weight_files import files_in

WHAT = "router paris"


@frozen(kw_only=True, eq=False)
class ParisRouter:
    """a = softmax of the ``network``'s logits, trained under the schedule ``own``, at (x, t) of ``schedule``."""

    network: TimedNetwork
    own: NoiseSchedule
    schedule: NoiseSchedule
    experts: int

    def start(self, x: Tensor, t: Tensor) -> None:
        """Returns None: the router keeps no state."""

    def weights(self, x: Tensor, t: Tensor, state: None) -> tuple[Tensor, None]:
        """a(x, t), (B, K)."""
        if self.own != self.schedule:
            matched = match_snr(self.schedule, self.own, t)
            x, t = expand(matched.scale.to(x), x) * x, matched.t
        logits = self.network(x, t)
        if logits.shape != (len(x), self.experts):
            raise SamplingError(f"{WHAT}: logits of shape {tuple(logits.shape)} for {self.experts} experts")
        return logits.softmax(1), None


@frozen(kw_only=True)
class ParisRouterFamily(ParisRouterOptions):
    """A classifier of noisy points that a recipe names; its weights are in the folder's router/."""

    def tasks(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> Mapping[str, TrainTask]:
        """Empty: nothing is trained. Raises RecipeError where its code is not trusted."""
        check_trusted(self.module, WHAT)
        return {}

    def tensors(self, shards: Sequence[Shard], trained: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """The weights. Raises DataError where they are absent or another network's."""
        return read_checked(files_in(self.path / "router"), self._make().state_dict())

    def load(self, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> ParisRouter:
        """The router, on the device of ``tensors``."""
        network = self._make()
        load_weights(network, tensors, WHAT)
        device = next((value.device for value in tensors.values()), None)
        user_network = UserNetwork(for_use(network, device), name=f"{WHAT}, {self.module},", pointwise=False)
        convention = TimeConvention(
            time=self.time,
            length=self.length,
            rounded=self.timesteps == "rounded",
            reversed_time=self.reversed_time,
        )
        return ParisRouter(
            network=TimedNetwork(user_network, convention=convention),
            own=schedule if self.schedule is None else self.schedule.build(),
            schedule=schedule,
            experts=len(config.fractions),
        )

    def _make(self) -> nn.Module:
        network: Callable[[Tensor, Tensor], Any] = make(self.module, self.arguments, WHAT)
        if not isinstance(network, nn.Module):
            raise RecipeError(f"{WHAT}: {self.module} made no nn.Module, which the weights are for")
        return network
