"""da-network: the rate of the posterior (P2) learned by one network for each interval of times, and integrated.

The paper leaves details open, chosen here as follows. Each network has 2 K outputs on one trunk: K rates, whose mean is
taken away so that they sum to zero, and K logits of the posterior itself, which the losses on a train and sampling
ignores. Stage 1 trains the logits (cross entropy plus squared error on a), stage 2 both (squared error on a plus
``rate_weight`` times the squared error on da). The intervals' ends are an option; no network is trained outside its
own interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from attrs import frozen
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mixvel_core.artifacts.tensors import loaded
from mixvel_core.field.posterior import Path
from mixvel_core.protocols import Batch, NoiseSchedule, Objective, RouterConfig, Shard
from mixvel_networks.denoiser import for_use
from mixvel_routers.a_network import squared_error
from mixvel_routers.classifier import check_items, make_classifier
from mixvel_routers.integrated import IntegratedRouter
from mixvel_routers.options import DaNetworkOptions
from mixvel_routers.targets import RouterTask, Targets, targets_of

_WHAT = "router da-network"


def split_outputs(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of a and rates of sum zero, (B, K) each, from a network's (B, 2 K)."""
    logits, rates = outputs.chunk(2, dim=1)
    return logits, rates - rates.mean(1, keepdim=True)


@frozen(kw_only=True)
class RateRegression:
    """The two stages; squared errors are summed over the K experts."""

    network: nn.Module
    targets: Targets
    path: Path
    first_stage: float
    rate_weight: float

    def losses(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """``cross_entropy``, ``a_error`` and ``da_error``, recorded in both stages, and ``loss``."""
        x, exact = self.targets.at(batch, rates=True)
        logits, rates = split_outputs(network(x, batch.t))
        entropy = cross_entropy(logits, batch.shard)
        a_error = squared_error(logits.softmax(1), exact.a)
        da_error = squared_error(rates, self.targets.rate(batch, exact, self.path))
        if batch.progress < self.first_stage:
            # Weight zero, but in the graph: with several workers every parameter must have a gradient.
            loss = entropy + a_error + 0.0 * da_error
        else:
            loss = a_error + self.rate_weight * da_error
        return {"loss": loss, "cross_entropy": entropy, "a_error": a_error, "da_error": da_error}


def make_objective(
    design: DaNetworkOptions, members: tuple[Shard, ...], schedule: NoiseSchedule, seed: int
) -> Objective:
    """A network with the initial weights that all intervals share, whatever the job's ``seed``, and its loss."""
    return RateRegression(
        network=make_classifier(design, members[0].shape, 2 * len(members), design.initial, _WHAT),
        targets=targets_of(members, schedule),
        path=design.path,
        first_stage=design.first_stage,
        rate_weight=design.rate_weight,
    )


@frozen(kw_only=True, eq=False)
class IntervalRates:
    """d/dt a_k at (x, t), by the network whose interval holds t: network j is for ends[j-1] < t <= ends[j]."""

    networks: tuple[nn.Module, ...]
    ends: tuple[float, ...]

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """(B, K), rows of sum zero."""
        ends = torch.tensor(self.ends, dtype=t.dtype, device=t.device)
        interval = (t[:, None] > ends).sum(1)
        rates: Tensor | None = None
        for j in torch.unique(interval).tolist():
            mine = interval == j
            _, found = split_outputs(self.networks[j](x[mine], t[mine]))
            rates = found.new_empty(len(x), found.shape[1]) if rates is None else rates
            rates[mine] = found
        return x.new_empty(0, 0) if rates is None else rates


@frozen(kw_only=True)
class DaNetworkFamily(DaNetworkOptions):
    """One network for each interval, ``interval-0`` nearest to data; trained independently."""

    def tasks(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> Mapping[str, RouterTask]:
        """The networks. Raises RecipeError where no network here reads items of this shape."""
        check_items(self, shards[0].shape, _WHAT)
        make = partial(make_objective, self)
        return {
            f"interval-{j}": RouterTask(members=tuple(shards), schedule=schedule, options=train, make=make)
            for j, train in enumerate(self.trainings())
        }

    def tensors(self, shards: Sequence[Shard], trained: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """The averaged weights of all, named ``interval-J.weight``."""
        return {f"{part}.{name}": value for part, state in trained.items() for name, value in state.items()}

    def load(self, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> IntegratedRouter:
        """The router, on the device of ``tensors``. Raises ArtifactError where they do not fit the options."""
        device = next(iter(tensors.values())).device
        # Any seed: every weight is replaced.
        make = partial(make_classifier, self, config.shape, 2 * len(config.fractions), 0, _WHAT)
        intervals = [f"interval-{j}" for j in range(len(self.ends) + 1)]
        networks = loaded(lambda: nn.ModuleDict({name: make() for name in intervals}), tensors, _WHAT)
        for_use(networks, device)
        rates = IntervalRates(networks=tuple(networks.children()), ends=self.ends)
        return IntegratedRouter(rate=rates, fractions=config.fractions)
