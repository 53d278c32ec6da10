"""a-network and naive: one classifier of noisy items, whose softmax or whose argmax is the router.

The minimum of the cross entropy of the shard label given (x_t, t) is the posterior of D2. An a-network also regresses
on that posterior where it can be computed: cross entropy, which is steep where the network is wrong, finds the region,
and squared error against the exact posterior has none of the noise of labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from attrs import frozen
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from mixvel_core.field.conversions import add_noise, point_for
from mixvel_core.protocols import Batch, NoiseSchedule, Objective, RouterConfig, Shard
from mixvel_routers.classifier import check_items, load_classifier, make_classifier
from mixvel_routers.options import ANetworkOptions, ClassifierOptions
from mixvel_routers.targets import RouterTask, Targets, targets_of

if TYPE_CHECKING:
    from mixvel_core.types import Points, Times, Weights


@frozen(kw_only=True)
class Classification:
    """Cross entropy of the shard label given (x_t, t)."""

    network: nn.Module
    schedule: NoiseSchedule

    def losses(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """``loss``: the mean over points, in nats."""
        p = point_for(self.schedule, batch.t, batch.x_0)
        logits = network(add_noise(batch.x_0, batch.eps, p), batch.t)
        return {"loss": cross_entropy(logits, batch.shard)}


@frozen(kw_only=True)
class PosteriorRegression:
    """Stage 1, the first ``first_stage`` of the steps: cross entropy plus squared error. Stage 2: squared error.

    The squared error is summed over the K experts.
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


@frozen(kw_only=True)
class ANetworkRouter:
    """a(x, t) = softmax of ``network``'s logits."""

    network: nn.Module

    def start(self, x: Points, t: Times) -> None:
        """Returns None: the router keeps no state."""

    def weights(self, x: Points, t: Times, state: None) -> tuple[Weights, None]:
        """(B, K), rows on the simplex."""
        logits: Tensor = self.network(x, t)
        return logits.softmax(dim=1), None


@frozen(kw_only=True)
class _OneNetwork(ClassifierOptions):
    """One classifier of all shards, the network ``part`` of the plugin ``what``."""

    part: ClassVar[str]
    what: ClassVar[str]

    def tasks(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> Mapping[str, RouterTask]:
        """The training of ``part``. Raises RecipeError where no network here reads items of this shape."""
        check_items(self, shards[0].shape, self.what)
        make = partial(make_objective, self, self.what)
        return {self.part: RouterTask(members=tuple(shards), schedule=schedule, options=self.train, make=make)}

    def tensors(self, shards: Sequence[Shard], trained: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """The averaged weights of ``part``."""
        return dict(trained[self.part])


@frozen(kw_only=True)
class ANetworkFamily(ANetworkOptions, _OneNetwork):
    """One classifier of all shards, the network ``a``."""

    part: ClassVar[str] = "a"
    what: ClassVar[str] = "router a-network"

    def load(self, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> ANetworkRouter:
        """The router, on the device of ``tensors``. Raises ArtifactError where they do not fit the options."""
        return ANetworkRouter(network=load_classifier(self, config, tensors, self.what))


@frozen(kw_only=True)
class NaiveRouter:
    """One-hot rows at the largest of ``network``'s logits, the first of equal ones."""

    network: nn.Module

    def start(self, x: Points, t: Times) -> None:
        """Returns None: the router keeps no state."""

    def weights(self, x: Points, t: Times, state: None) -> tuple[Weights, None]:
        """(B, K), rows on corners of the simplex. Logits that are not finite stay visible as such."""
        logits: Tensor = self.network(x, t)
        # 0 * logit is 0 or, where the network failed, nan: an argmax alone would hide that.
        return one_hot(logits.argmax(1), logits.shape[1]).to(x.dtype) + 0.0 * logits, None


@frozen(kw_only=True)
class NaiveFamily(_OneNetwork):
    """One classifier of all shards, ``classifier``, trained by labels only, never by the exact posterior."""

    part: ClassVar[str] = "classifier"
    what: ClassVar[str] = "router naive"

    def load(self, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> NaiveRouter:
        """The router, on the device of ``tensors``. Raises ArtifactError where they do not fit the options."""
        return NaiveRouter(network=load_classifier(self, config, tensors, self.what))


def make_objective(
    design: ClassifierOptions, what: str, members: tuple[Shard, ...], schedule: NoiseSchedule, seed: int
) -> Objective:
    """A fresh classifier of K = ``len(members)`` shards and its loss; ``what`` is the plugin, for errors."""
    network = make_classifier(design, members[0].shape, len(members), seed, what)
    if isinstance(design, ANetworkOptions) and design.targets == "exact":
        targets = targets_of(members, schedule)
        return PosteriorRegression(network=network, targets=targets, first_stage=design.first_stage)
    return Classification(network=network, schedule=schedule)
