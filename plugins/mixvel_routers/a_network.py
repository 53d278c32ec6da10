"""a-network: the posterior a(x, t) (D2) learned by classifying noisy items by their shard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mixvel_core.field.conversions import add_noise, point_for
from mixvel_core.protocols import Batch, NoiseSchedule, RouterConfig, Shard
from mixvel_core.training.options import TrainOptions
from mixvel_core.training.weights import load_weights
from mixvel_routers.classifier import check_items, make_classifier
from mixvel_routers.options import ANetworkOptions

if TYPE_CHECKING:
    from mixvel_core.types import Points, Times, Weights

_TASK = "a"


@frozen(kw_only=True)
class Classification:
    """Cross entropy of the shard label given (x_t, t); its minimum is the posterior of D2."""

    network: nn.Module
    schedule: NoiseSchedule

    def losses(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """``loss``: the mean over points, in nats."""
        p = point_for(self.schedule, batch.t, batch.x_0)
        logits = network(add_noise(batch.x_0, batch.eps, p), batch.t)
        return {"loss": cross_entropy(logits, batch.shard)}


@frozen(kw_only=True)
class ClassificationTask:
    """The items of all shards, each as likely as any other: so the prior it learns is N_k / N."""

    members: tuple[Shard, ...]
    schedule: NoiseSchedule
    design: ANetworkOptions

    @property
    def items(self) -> np.ndarray:
        """All items, shard by shard; read and joined when asked, so that the task itself stays small."""
        return np.concatenate([shard.items for shard in self.members])

    @property
    def shards(self) -> np.ndarray:
        """The place k of each item's shard in the sequence of shards."""
        return np.repeat(np.arange(len(self.members)), [shard.count for shard in self.members])

    @property
    def options(self) -> TrainOptions:
        """How it is trained."""
        return self.design.train

    def objective(self, seed: int) -> Classification:
        """A fresh classifier and its loss."""
        network = make_classifier(self.design, self.members[0].shape, len(self.members), seed)
        return Classification(network=network, schedule=self.schedule)


@frozen(kw_only=True)
class ANetworkRouter:
    """a(x, t) = softmax of ``network``'s logits; no state."""

    network: nn.Module

    def start(self, x: Points, t: Times) -> None:
        """No state."""

    def weights(self, x: Points, t: Times, state: None) -> tuple[Weights, None]:
        """(B, K), rows on the simplex."""
        logits: Tensor = self.network(x, t)
        return logits.softmax(dim=1), None


@frozen(kw_only=True)
class ANetworkFamily:
    """One classifier of all shards."""

    options: ANetworkOptions

    def tasks(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> Mapping[str, ClassificationTask]:
        """One network, ``a``. Raises RecipeError where no network here reads items of this shape."""
        check_items(self.options, shards[0].shape)
        return {_TASK: ClassificationTask(members=tuple(shards), schedule=schedule, design=self.options)}

    def tensors(self, shards: Sequence[Shard], trained: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """The averaged weights."""
        return dict(trained[_TASK])

    def load(self, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> ANetworkRouter:
        """The router, on the device of ``tensors``. Raises ArtifactError where they do not fit the options."""
        # The seed is of no matter: every weight is replaced.
        network = make_classifier(self.options, config.shape, len(config.fractions), 0)
        load_weights(network, tensors, "router a-network")
        device = next(iter(tensors.values())).device
        return ANetworkRouter(network=network.to(device).eval().requires_grad_(False))
