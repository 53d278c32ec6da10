"""How U-Net experts are trained, stored and loaded: one network a shard, or one with labels for all shards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from attrs import evolve, frozen
from torch import Tensor

from mixvel_core.artifacts.tensors import check_same, loaded
from mixvel_core.errors import ArtifactError, RecipeError
from mixvel_core.field.mixture import item_moments
from mixvel_core.protocols import ExpertConfig, Moments, NoiseSchedule, Shard
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
from mixvel_networks.unet import make_unet
from mixvel_unet.hooks import UNetOptions
from mixvel_unet.objective import WHAT, UNetTask


@frozen(kw_only=True)
class UNetFamily(UNetOptions):
    """One U-Net a shard, or one with labels for all."""

    def task(self, shard: Shard, schedule: NoiseSchedule) -> UNetTask:
        """The regression on this shard. Raises RecipeError where its images do not fit the network."""
        self.check(shard.shape, WHAT)
        return UNetTask(members=(shard,), schedule=schedule, design=self._placed())

    def tensors(self, shard: Shard, trained: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
        """``network.*``, the averaged weights, and ``mean`` and ``variance`` of the shard's items, in float32."""
        if trained is None:
            raise ArtifactError(f"expert {shard.index}: its network is not trained; run the recipe again")
        return stored_tensors(trained, item_moments(shard.items))

    def without_moments(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The weights alone. Raises RecipeError for eps-prediction, which needs the mean where alpha is next to 0."""
        if self.prediction == "eps":
            raise RecipeError("expert unet: prediction eps needs the mean of the shard; share it, or predict v or x0")
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
        # Any seed: every weight is replaced.
        make = partial(make_unet, self, config.shape, config.shape[0], 0, where, config=config_of(weights, where))
        network = loaded(make, weights, where)
        return NetworkDenoiser(
            schedule=schedule,
            moments=moments,
            network=for_use(network, next(iter(tensors.values())).device),
            prediction=self.prediction,
            clip=self.clip,
        )

    def shared_task(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> UNetTask:
        """The regression on all shards. Raises RecipeError where their images do not fit the network."""
        self.check(shards[0].shape, WHAT)
        return UNetTask(members=tuple(shards), schedule=schedule, design=self._placed(), labelled=True)

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
        # Any seed: every weight is replaced.
        make = partial(make_unet, self, shape, shape[0], 0, where, len(configs), config_of(weights, where))
        network = loaded(make, weights, where)
        return LabelledDenoiser(
            schedule=schedule,
            network=for_use(network, rest["mean"].device),
            mean=rest["mean"],
            variance=rest["variance"],
            prediction=self.prediction,
            clip=self.clip,
        )

    def _placed(self) -> UNetFamily:
        """The same with the place of its first weights whatever folder a worker runs in."""
        return self if self.initial is None else evolve(self, initial=self.initial.absolute())
