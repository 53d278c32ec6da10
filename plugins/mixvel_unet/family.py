"""UNetFamily: how U-Net experts are trained, stored and loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.artifacts.tensors import check_same, loaded
from mixvel_core.errors import ArtifactError, RecipeError
from mixvel_core.field.mixture import item_moments
from mixvel_core.protocols import ExpertConfig, Moments, NoiseSchedule, Shard
from mixvel_networks.expert import UNetExpert
from mixvel_networks.unet import make_unet
from mixvel_unet.objective import SharedUNetTask, UNetTask
from mixvel_unet.options import UNetOptions
from mixvel_unet.shared import UNetGroup

_NETWORK = "network."


@frozen(kw_only=True)
class UNetFamily:
    """One U-Net a shard, or one with labels for all."""

    options: UNetOptions

    def task(self, shard: Shard, schedule: NoiseSchedule) -> UNetTask:
        """The regression on this shard. Raises RecipeError where its images do not fit the network."""
        self.options.check(shard.shape, "expert unet")
        return UNetTask(shard=shard, schedule=schedule, design=self.options)

    def tensors(self, shard: Shard, trained: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
        """``network.*``, the averaged weights, and ``mean`` and ``variance`` of the shard's items, in float32."""
        if trained is None:
            raise ArtifactError(f"expert {shard.index}: its network is not trained; run the recipe again")
        moments = item_moments(shard.items)
        shared = {"mean": moments.mean, "variance": moments.variance}
        return {_NETWORK + name: value for name, value in trained.items()} | shared

    def without_moments(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The weights alone. Raises RecipeError for eps-prediction, which needs the mean where alpha is next to 0."""
        if self.options.prediction == "eps":
            raise RecipeError("expert unet: prediction eps needs the mean of the shard; share it, or predict v or x0")
        return {name: value for name, value in tensors.items() if name.startswith(_NETWORK)}

    def load(self, config: ExpertConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> UNetExpert:
        """The expert, on the device of ``tensors``. Raises ArtifactError where they do not fit the options.

        Without mean and variance its moments are None.
        """
        where = f"expert {config.index}"
        weights, rest = _parted(tensors)
        moments = None
        if rest or self.options.prediction == "eps":
            expected = torch.empty(config.shape, device="meta")
            check_same(rest, dict.fromkeys(("mean", "variance"), expected), where)
            moments = Moments(mean=rest["mean"], variance=rest["variance"])
        # The seed is of no matter: every weight is replaced.
        network = loaded(partial(make_unet, self.options, config.shape, config.shape[0], 0, where), weights, where)
        return UNetExpert(
            schedule=schedule,
            moments=moments,
            network=network.to(next(iter(tensors.values())).device).eval().requires_grad_(False),
            prediction=self.options.prediction,
            clip=self.options.clip,
        )

    def shared_task(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> SharedUNetTask:
        """The regression on all shards. Raises RecipeError where their images do not fit the network."""
        self.options.check(shards[0].shape, "expert unet")
        return SharedUNetTask(members=tuple(shards), schedule=schedule, design=self.options)

    def shared_tensors(self, shards: Sequence[Shard], trained: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """``network.*``, and ``mean`` and ``variance`` of all shards, (K, *data), in float32."""
        moments = [item_moments(shard.items) for shard in shards]
        shared = {
            "mean": torch.stack([one.mean for one in moments]),
            "variance": torch.stack([one.variance for one in moments]),
        }
        return {_NETWORK + name: value for name, value in trained.items()} | shared

    def load_shared(
        self, configs: Sequence[ExpertConfig], tensors: Mapping[str, Tensor], schedule: NoiseSchedule
    ) -> UNetGroup:
        """The experts, on the device of ``tensors``. Raises ArtifactError where they do not fit options or shards."""
        where, shape = "the experts' one network", configs[0].shape
        weights, rest = _parted(tensors)
        check_same(
            rest, {name: torch.empty(len(configs), *shape, device="meta") for name in ("mean", "variance")}, where
        )
        # The seed is of no matter: every weight is replaced.
        make = partial(make_unet, self.options, shape, shape[0], 0, where, len(configs))
        network = loaded(make, weights, where)
        return UNetGroup(
            schedule=schedule,
            network=network.to(rest["mean"].device).eval().requires_grad_(False),
            mean=rest["mean"],
            variance=rest["variance"],
            prediction=self.options.prediction,
            clip=self.options.clip,
        )


def _parted(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights of the network, by their names in it, and the rest."""
    weights = {n.removeprefix(_NETWORK): v for n, v in tensors.items() if n.startswith(_NETWORK)}
    return weights, {n: v for n, v in tensors.items() if not n.startswith(_NETWORK)}
