"""How the da-network is trained, stored and loaded, with or without what corrects it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from attrs import frozen
from torch import Tensor, nn

from mixvel_core.artifacts.tensors import check_same, loaded
from mixvel_core.protocols import NoiseSchedule, RouterConfig, Shard
from mixvel_networks.denoiser import for_use
from mixvel_routers.a_network import make_objective as make_a_objective
from mixvel_routers.class_prior import class_prior
from mixvel_routers.classifier import check_items, make_logits
from mixvel_routers.da_network import WHAT, IntervalRates, make_network, make_objective
from mixvel_routers.gains import BUCKETS, STEP, fit_gains
from mixvel_routers.integrated import Gains, IntegratedRouter
from mixvel_routers.options import ANetworkOptions, DaNetworkOptions
from mixvel_routers.targets import RouterTask, config_of, targets_of

_CORRECTOR, _GAINS = "a", "gains"


@frozen(kw_only=True)
class DaNetworkFamily(DaNetworkOptions):
    """One network for each interval, ``interval-0`` nearest to data, and perhaps an a-network, ``a``; each trained by
    itself."""

    def tasks(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> Mapping[str, RouterTask]:
        """The networks. Raises RecipeError where no network here reads items of this shape."""
        check_items(shards[0].shape, WHAT)
        members = tuple(shards)
        make = partial(make_objective, self)
        tasks = {
            f"interval-{j}": RouterTask(members=members, schedule=schedule, options=train, make=make)
            for j, train in enumerate(self.trainings())
        }
        if self.correct == "network":
            make_a = partial(make_a_objective, self._corrector(), WHAT)
            tasks[_CORRECTOR] = RouterTask(members=members, schedule=schedule, options=self.train, make=make_a)
        return tasks

    def tensors(self, shards: Sequence[Shard], trained: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """The averaged weights of all, named ``PART.weight``."""
        return {f"{part}.{name}": value for part, state in trained.items() for name, value in state.items()}

    def fitted(
        self, shards: Sequence[Shard], schedule: NoiseSchedule, tensors: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        """``gains``, (8,) float64, where there is something to correct with."""
        if self.correct == "none":
            return {}
        config = config_of(shards)
        rate = self._rate(config, tensors, schedule)
        return {_GAINS: fit_gains(rate, config, targets_of(shards, schedule), next(iter(tensors.values())).device)}

    def load(self, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> IntegratedRouter:
        """The router, on the device of ``tensors``. Raises ArtifactError where they do not fit the options."""
        if self.correct == "none":
            rate = self._rate(config, tensors, schedule)
            return IntegratedRouter(rate=rate, fractions=config.fractions, by_class=class_prior(config))
        weights = {name: value for name, value in tensors.items() if name != _GAINS}
        wanted = torch.empty(BUCKETS, dtype=torch.float64, device="meta")
        check_same({name: tensors[name] for name in (_GAINS,) if name in tensors}, {_GAINS: wanted}, WHAT)
        gains = Gains(values=tensors[_GAINS], step=STEP)
        return IntegratedRouter(
            rate=self._rate(config, weights, schedule),
            fractions=config.fractions,
            gains=gains,
            by_class=class_prior(config),
        )

    def _rate(self, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> IntervalRates:
        """The networks, for use, on the device of ``tensors``."""
        intervals = [f"interval-{j}" for j in range(len(self.ends) + 1)]

        def make() -> nn.ModuleDict:
            parts: dict[str, nn.Module] = {name: make_network(self, config, schedule) for name in intervals}
            if self.correct == "network":
                # Any seed: every weight is replaced.
                parts[_CORRECTOR] = make_logits(self, config, schedule, 0, WHAT)
            return nn.ModuleDict(parts)

        networks = for_use(loaded(make, tensors, WHAT), next(iter(tensors.values())).device)
        parts = dict(networks.named_children())
        return IntervalRates(
            networks=tuple(parts[name] for name in intervals), ends=self.ends, corrector=parts.get(_CORRECTOR)
        )

    def _corrector(self) -> ANetworkOptions:
        """The a-network that is trained beside, of the same size."""
        return ANetworkOptions(
            channels=self.channels,
            stride=self.stride,
            width=self.width,
            depth=self.depth,
            train=self.train,
            stages=self.stages,
            first_stage=self.first_stage,
        )
