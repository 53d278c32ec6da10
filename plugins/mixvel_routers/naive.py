"""fixed: the prior pi everywhere. naive: all weight on the expert that a classifier of noisy items names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from attrs import frozen
from torch import Tensor, nn
from torch.nn.functional import one_hot

from mixvel_core.protocols import NoiseSchedule, Objective, RouterConfig, Shard, TrainTask
from mixvel_routers.a_network import Classification
from mixvel_routers.classifier import check_items, load_classifier, make_classifier
from mixvel_routers.options import ClassifierOptions
from mixvel_routers.targets import RouterTask

if TYPE_CHECKING:
    from mixvel_core.types import Points, Times, Weights


@frozen(kw_only=True)
class FixedRouter:
    """a(x, t) = pi, ``fractions``, which is the posterior where alpha = 0 and only there."""

    fractions: tuple[float, ...]

    def start(self, x: Points, t: Times) -> None:
        """No state."""

    def weights(self, x: Points, t: Times, state: None) -> tuple[Weights, None]:
        """(B, K), each row pi."""
        pi = torch.tensor(self.fractions, dtype=torch.float64)
        return (pi / pi.sum()).to(x).expand(len(x), -1), None


@frozen(kw_only=True)
class FixedFamily:
    """Nothing to train and nothing to store: the configuration says it all."""

    def tasks(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> Mapping[str, TrainTask]:
        """None."""
        return {}

    def tensors(self, shards: Sequence[Shard], trained: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """None."""
        return {}

    def load(self, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> FixedRouter:
        """The prior of ``config``."""
        return FixedRouter(fractions=config.fractions)


_TASK = "classifier"
_WHAT = "router naive"


def make_objective(
    design: ClassifierOptions, members: tuple[Shard, ...], schedule: NoiseSchedule, seed: int
) -> Objective:
    """A fresh classifier and its cross entropy."""
    network = make_classifier(design, members[0].shape, len(members), seed, _WHAT)
    return Classification(network=network, schedule=schedule)


@frozen(kw_only=True)
class NaiveRouter:
    """One-hot rows at the largest of ``network``'s logits, the first of equal ones; no state."""

    network: nn.Module

    def start(self, x: Points, t: Times) -> None:
        """No state."""

    def weights(self, x: Points, t: Times, state: None) -> tuple[Weights, None]:
        """(B, K), rows on corners of the simplex. Logits that are not finite stay visible as such."""
        logits: Tensor = self.network(x, t)
        # 0 * logit is 0 or, where the network failed, nan: an argmax alone would hide that.
        return one_hot(logits.argmax(1), logits.shape[1]).to(x.dtype) + 0.0 * logits, None


@frozen(kw_only=True)
class NaiveFamily:
    """One classifier of all shards. It sees labels only, never the exact posterior."""

    options: ClassifierOptions

    def tasks(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> Mapping[str, RouterTask]:
        """One network, ``classifier``. Raises RecipeError where no network here reads items of this shape."""
        check_items(self.options, shards[0].shape, _WHAT)
        make = partial(make_objective, self.options)
        return {_TASK: RouterTask(members=tuple(shards), schedule=schedule, options=self.options.train, make=make)}

    def tensors(self, shards: Sequence[Shard], trained: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """The averaged weights."""
        return dict(trained[_TASK])

    def load(self, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> NaiveRouter:
        """The router, on the device of ``tensors``. Raises ArtifactError where they do not fit the options."""
        return NaiveRouter(network=load_classifier(self.options, config, tensors, _WHAT))
