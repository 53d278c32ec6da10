"""Cross entropy alone: all that `naive` knows, and an a-network that is not to see the exact posterior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from attrs import frozen
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mixvel_core.field.conversions import add_noise, point_for
from mixvel_core.protocols import Batch, NoiseSchedule, Objective, RouterConfig, Shard
from mixvel_routers.classifier import check_items, load_classifier, make_classifier
from mixvel_routers.options import ANetworkOptions
from mixvel_routers.targets import RouterTask, Targets, targets_of

if TYPE_CHECKING:
    from mixvel_core.types import Points, Times, Weights


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


_TASK = "a"
_WHAT = "router a-network"


@frozen(kw_only=True)
class PosteriorRegression:
    """Stage 1, the first ``first_stage`` of the steps: cross entropy plus squared error. Stage 2: squared error.

    Cross entropy, which is steep where the network is wrong, finds the region; squared error against the exact
    posterior has none of the noise of labels. The squared error is summed over the K experts.
    """

    network: nn.Module
    targets: Targets
    first_stage: float

    def losses(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """``cross_entropy`` of the label in nats and ``a_error``, recorded in both stages, and ``loss``."""
        x, exact = self.targets.at(batch, rates=False)
        logits = network(x, batch.t)
        entropy = cross_entropy(logits, batch.shard)
        error = squared_error(logits.softmax(1), exact.a)
        loss = entropy + error if batch.progress < self.first_stage else error
        return {"loss": loss, "cross_entropy": entropy, "a_error": error}


def squared_error(found: Tensor, wanted: Tensor) -> Tensor:
    """The squared distance of rows, (B, K) each, averaged over the batch."""
    return (found - wanted).square().sum(1).mean()


def make_objective(
    design: ANetworkOptions, members: tuple[Shard, ...], schedule: NoiseSchedule, seed: int
) -> Objective:
    """A fresh classifier and its loss."""
    network = make_classifier(design, members[0].shape, len(members), seed, _WHAT)
    if design.targets == "labels":
        return Classification(network=network, schedule=schedule)
    targets = targets_of(members, schedule)
    return PosteriorRegression(network=network, targets=targets, first_stage=design.first_stage)


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

    def tasks(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> Mapping[str, RouterTask]:
        """One network, ``a``. Raises RecipeError where no network here reads items of this shape."""
        check_items(self.options, shards[0].shape, _WHAT)
        make = partial(make_objective, self.options)
        return {_TASK: RouterTask(members=tuple(shards), schedule=schedule, options=self.options.train, make=make)}

    def tensors(self, shards: Sequence[Shard], trained: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """The averaged weights."""
        return dict(trained[_TASK])

    def load(self, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> ANetworkRouter:
        """The router, on the device of ``tensors``. Raises ArtifactError where they do not fit the options."""
        return ANetworkRouter(network=load_classifier(self.options, config, tensors, _WHAT))
