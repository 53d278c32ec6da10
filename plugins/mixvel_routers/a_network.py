"""a-network and naive: one classifier of noisy items, whose softmax or whose argmax is the router.

The minimum of the cross entropy of the shard label given (x_t, t) is the posterior of D2, and so is that of the
divergence from D2 itself, which has none of the noise of labels and can be computed where the items are at hand.
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
from mixvel_routers.class_prior import ReadsClass, class_prior
from mixvel_routers.classifier import called, check_items, load_classifier, make_logits
from mixvel_routers.options import ClassifierOptions, PosteriorOptions, RouterTraining
from mixvel_routers.targets import RouterTask, Targets, classes_of, config_of, targets_of

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
        logits = called(network, add_noise(batch.x_0, batch.eps, p), batch.t, classes_of(batch))
        return {"loss": cross_entropy(logits, batch.shard)}


@frozen(kw_only=True)
class PosteriorRegression:
    """The divergence from the exact posterior, or the two stages of the paper's E.2.

    Stage 1, the first ``first_stage`` of the steps: cross entropy of the label plus squared error. Stage 2: squared
    error. There is none where ``first_stage`` is None.
    """

    network: nn.Module
    targets: Targets
    first_stage: float | None

    def losses(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """``divergence`` in nats, ``cross_entropy`` of the label in nats and ``a_error``, recorded, and ``loss``."""
        x, exact = self.targets.at(batch)
        logits = called(network, x, batch.t, classes_of(batch))
        named = errors_of_a(logits, exact, batch)
        return {"loss": loss_of_a(named, batch.progress, self.first_stage), **named}


def errors_of_a(logits: Tensor, exact: Tensor, batch: Batch) -> dict[str, Tensor]:
    """How far logits, (B, K), are from the exact posterior, in three ways; means over the batch."""
    return {
        "divergence": divergence(logits, exact),
        "cross_entropy": cross_entropy(logits, batch.shard),
        "a_error": squared_error(logits.softmax(1), exact),
    }


def loss_of_a(named: Mapping[str, Tensor], progress: float, first_stage: float | None) -> Tensor:
    """Which of ``errors_of_a`` is minimised; ``progress``: the part of the training that lies behind."""
    if first_stage is None:
        return named["divergence"]
    return named["cross_entropy"] + named["a_error"] if progress < first_stage else named["a_error"]


def divergence(logits: Tensor, wanted: Tensor) -> Tensor:
    """sum_k a_k log(a_k / softmax(logits)_k) for rows a of ``wanted``, (B, K), averaged over the batch."""
    entropy = wanted.xlogy(wanted).sum(1)
    return (entropy - (wanted * logits.log_softmax(1)).sum(1)).mean()


def squared_error(found: Tensor, wanted: Tensor) -> Tensor:
    """The squared distance of rows, (B, K) each, averaged over the batch."""
    return (found - wanted).square().sum(1).mean()


@frozen(kw_only=True, eq=False)
class ANetworkRouter(ReadsClass):
    """a(x, t) = softmax of ``network``'s logits."""

    network: nn.Module

    def start(self, x: Points, t: Times) -> None:
        """Returns None: the router keeps no state."""

    def weights(self, x: Points, t: Times, state: None) -> tuple[Weights, None]:
        """(B, K), rows on the simplex."""
        logits = called(self.network, x, t, self.rows_on(x))
        return logits.softmax(dim=1), None


@frozen(kw_only=True, eq=False)
class NaiveRouter(ReadsClass):
    """One-hot rows at the largest of ``network``'s logits, the first of equal ones."""

    network: nn.Module

    def start(self, x: Points, t: Times) -> None:
        """Returns None: the router keeps no state."""

    def weights(self, x: Points, t: Times, state: None) -> tuple[Weights, None]:
        """(B, K), rows on corners of the simplex. Logits that are not finite stay visible as such."""
        logits = called(self.network, x, t, self.rows_on(x))
        # 0 * logit is 0 or, where the network failed, nan: an argmax alone would hide that.
        return one_hot(logits.argmax(1), logits.shape[1]).to(x.dtype) + 0.0 * logits, None


@frozen(kw_only=True)
class NaiveFamily(ClassifierOptions):
    """One classifier of all shards, ``classifier``, trained by labels only, never by the exact posterior."""

    what: ClassVar[str] = "router naive"

    def tasks(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> Mapping[str, RouterTask]:
        """The training of the classifier. Raises RecipeError where no network here reads items of this shape."""
        check_items(shards[0].shape, self.what)
        make = partial(make_objective, self, self.what)
        return {"classifier": RouterTask(members=tuple(shards), schedule=schedule, options=self.train, make=make)}

    def tensors(self, shards: Sequence[Shard], trained: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """The averaged weights of the classifier, by name."""
        return dict(trained["classifier"])

    def load(self, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> NaiveRouter:
        """The router, on the device of ``tensors``. Raises ArtifactError where they do not fit the options."""
        network = load_classifier(self, config, tensors, schedule, self.what)
        return NaiveRouter(network=network, by_class=class_prior(config))


def make_objective(
    design: RouterTraining, what: str, members: tuple[Shard, ...], schedule: NoiseSchedule, seed: int
) -> Objective:
    """A fresh classifier of K = ``len(members)`` shards and its loss; ``what`` is the plugin, for errors."""
    network = make_logits(design, config_of(members), schedule, seed, what)
    if isinstance(design, PosteriorOptions) and design.targets == "exact":
        first = design.first_stage if design.stages == 2 else None
        return PosteriorRegression(network=network, targets=targets_of(members, schedule), first_stage=first)
    return Classification(network=network, schedule=schedule)
