"""How experts that are networks are trained, stored and loaded: one network a shard, or one with labels for all shards.

A family of networks of some design is this, its options, and how such a network is made.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from mixvel_core.artifacts.tensors import check_same, loaded
from mixvel_core.errors import ArtifactError, RecipeError
from mixvel_core.field.mixture import item_moments
from mixvel_core.protocols import ConditionSpec, ExpertConfig, Moments, NoiseSchedule, Shard
from mixvel_networks.denoiser import (
    LabelledDenoiser,
    NetworkDenoiser,
    for_use,
    network_weights,
    other_tensors,
    stored_tensors,
    without_moments,
)
from mixvel_networks.initial import config_of
from mixvel_networks.inputs import NetworkInputs
from mixvel_networks.regression import NetworkDesign, NetworkTask


class NetworkFamily(NetworkDesign):
    """A family of experts (``ConditionalFamily``, ``SharedFamily``, ``DiscreetFamily``) whose networks ``make`` makes.

    Where the items of its shards have conditions, so have its experts.
    """

    @property
    @abstractmethod
    def clip(self) -> bool:
        """Whether denoisers are kept within [-1, 1]."""

    @property
    @abstractmethod
    def initial(self) -> Path | None:
        """A folder whose weights they start with; None: random ones."""

    @property
    def reads_tokens(self) -> bool:
        """Whether its networks read a sequence of tokens, such as a text's."""
        return False

    @abstractmethod
    def check_fits(self, shape: tuple[int, ...], inputs: NetworkInputs) -> None:
        """Raises RecipeError where there is no such network for items of shape ``*data`` and these inputs."""

    def reads(self, conditions: Sequence[ConditionSpec]) -> Sequence[ConditionSpec]:
        """All conditions that the items have."""
        return conditions

    def task(self, shard: Shard, schedule: NoiseSchedule) -> NetworkTask:
        """The regression on this shard. Raises RecipeError where its items do not fit the network."""
        return self._task((shard,), schedule, labelled=False)

    def shared_task(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> NetworkTask:
        """The regression on all shards. Raises RecipeError where their items do not fit the network."""
        return self._task(tuple(shards), schedule, labelled=True)

    def _task(self, members: tuple[Shard, ...], schedule: NoiseSchedule, *, labelled: bool) -> NetworkTask:
        # The same place whatever folder a worker runs in.
        initial = None if self.initial is None else self.initial.absolute()
        task = NetworkTask(members=members, schedule=schedule, design=self, labelled=labelled, initial=initial)
        task.inputs.check(self.what, tokens=self.reads_tokens)
        self.check_fits(members[0].shape, task.inputs)
        return task

    def tensors(self, shard: Shard, trained: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
        """``network.*``, the averaged weights, and ``mean`` and ``variance`` of the shard's items, in float32."""
        if trained is None:
            raise ArtifactError(f"expert {shard.index}: its network is not trained; run the recipe again")
        return stored_tensors(trained, item_moments(shard.items))

    def without_moments(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The weights alone. Raises RecipeError for eps-prediction, which needs the mean where alpha is next to 0."""
        if self.prediction == "eps":
            raise RecipeError(f"{self.what}: prediction eps needs the mean of the shard; share it, or predict v or x0")
        return without_moments(tensors)

    def load(self, config: ExpertConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> NetworkDenoiser:
        """The expert, on the device of ``tensors``. Raises ArtifactError where they do not fit the options.

        Without mean and variance its moments are None.
        """
        where = f"expert {config.index}"
        weights, rest = network_weights(tensors), other_tensors(tensors)
        moments = None
        if rest or self.prediction == "eps":
            expected = torch.empty(config.shape, device="meta")
            check_same(rest, dict.fromkeys(("mean", "variance"), expected), where)
            moments = Moments(mean=rest["mean"], variance=rest["variance"])
        inputs = NetworkInputs(conditions=config.conditions)
        # Any seed: every weight is replaced.
        make = partial(self.make, config.shape, inputs, 0, where, config_of(weights, where))
        network = loaded(make, weights, where)
        return NetworkDenoiser(
            schedule=schedule,
            moments=moments,
            network=for_use(network, next(iter(tensors.values())).device),
            prediction=self.prediction,
            clip=self.clip,
            inputs=inputs,
        )

    def shared_tensors(self, shards: Sequence[Shard], trained: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """``network.*``, and ``mean`` and ``variance`` of all shards, (K, *data), in float32."""
        moments = [item_moments(shard.items) for shard in shards]
        mean, variance = (torch.stack(values) for values in zip(*((m.mean, m.variance) for m in moments), strict=True))
        return stored_tensors(trained, Moments(mean=mean, variance=variance))

    def load_shared(
        self, configs: Sequence[ExpertConfig], tensors: Mapping[str, Tensor], schedule: NoiseSchedule
    ) -> LabelledDenoiser:
        """The experts, on the device of ``tensors``. Raises ArtifactError where they do not fit options or shards."""
        where, shape = "the experts' one network", configs[0].shape
        weights, rest = network_weights(tensors), other_tensors(tensors)
        expected = torch.empty(len(configs), *shape, device="meta")
        check_same(rest, dict.fromkeys(("mean", "variance"), expected), where)
        inputs = NetworkInputs(shards=len(configs), conditions=configs[0].conditions)
        # Any seed: every weight is replaced.
        make = partial(self.make, shape, inputs, 0, where, config_of(weights, where))
        network = loaded(make, weights, where)
        return LabelledDenoiser(
            schedule=schedule,
            network=for_use(network, rest["mean"].device),
            mean=rest["mean"],
            variance=rest["variance"],
            prediction=self.prediction,
            clip=self.clip,
            inputs=inputs,
        )
