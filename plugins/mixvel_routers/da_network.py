"""da-network: what it learns, the rate of the posterior (P2) as a log-rate, and how its networks answer.

The paper leaves details open, chosen here as follows. A network has 2 K outputs on one trunk: K logits of a, and K
log-rates L of mean zero, with d/dt a_k = a_k (L_k - <a, L>). The loss is the divergence of a plus the squared error of
da, in which a is the exact one: a log-rate matters as far as its shard does. One network is for all times, or one for
each interval of times, trained on no others.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from attrs import frozen
from torch import Tensor, nn

from mixvel_core.field.posterior import Path
from mixvel_core.protocols import Batch, NoiseSchedule, Objective, RouterConfig, Shard
from mixvel_routers.a_network import errors_of_a, loss_of_a, squared_error
from mixvel_routers.class_prior import class_prior
from mixvel_routers.classifier import PosteriorAndRate, called, halves, make_trunk
from mixvel_routers.integrated import RateAnswer
from mixvel_routers.options import DaNetworkOptions
from mixvel_routers.targets import Targets, classes_of, config_of, targets_of

WHAT = "router da-network"


@frozen(kw_only=True)
class RateRegression:
    """Errors of a as the a-network's, and ``rate_weight`` times the squared error of da, summed over the K experts.

    With ``first_stage``, the part of the steps in which only a is learned, the two stages of the paper; else None.
    """

    network: nn.Module
    targets: Targets
    path: Path
    first_stage: float | None
    rate_weight: float

    def losses(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """``divergence``, ``cross_entropy``, ``a_error`` and ``da_error``, recorded, and ``loss``."""
        x, a, rates = self.targets.with_rates(batch, self.path)
        logits, log_rates = halves(called(network, x, batch.t, classes_of(batch)))
        named = errors_of_a(logits, a, batch)
        da_error = squared_error(a * (log_rates - (a * log_rates).sum(1, keepdim=True)), rates)
        learns_rate = self.first_stage is None or batch.progress >= self.first_stage
        # Weight zero, but in the graph: with several workers every parameter must have a gradient.
        weight = self.rate_weight if learns_rate else 0.0
        loss = loss_of_a(named, batch.progress, self.first_stage) + weight * da_error
        return {"loss": loss, **named, "da_error": da_error}


def make_network(design: DaNetworkOptions, config: RouterConfig, schedule: NoiseSchedule) -> PosteriorAndRate:
    """A network with the initial weights that all intervals share."""
    trunk = make_trunk(design, config, design.initial, WHAT, each=2)
    return PosteriorAndRate(trunk, schedule, config.fractions, class_prior(config))


def make_objective(
    design: DaNetworkOptions, members: tuple[Shard, ...], schedule: NoiseSchedule, seed: int
) -> Objective:
    """The network, the same whatever the job's ``seed``, and its loss."""
    return RateRegression(
        network=make_network(design, config_of(members), schedule),
        targets=targets_of(members, schedule),
        path=design.path,
        first_stage=design.first_stage if design.stages == 2 else None,
        rate_weight=design.rate_weight,
    )


@frozen(kw_only=True, eq=False)
class IntervalRates:
    """Log-rates and logits at (x, t), by the network whose interval holds t: network j is for ends[j-1] < t <= ends[j].

    ``corrector``: logits of a in place of those of the same network.
    """

    networks: tuple[nn.Module, ...]
    ends: tuple[float, ...]
    corrector: nn.Module | None = None

    def __call__(self, x: Tensor, t: Tensor, classes: Tensor | None = None) -> RateAnswer:
        """Both, (B, K) each, under classes, (B,), where there are some; rows of log-rates have mean zero."""
        logits, log_rates = halves(self._outputs(x, t, classes))
        log_a = logits if self.corrector is None else called(self.corrector, x, t, classes)
        return RateAnswer(log_rate=log_rates, log_a=log_a.log_softmax(1))

    def _outputs(self, x: Tensor, t: Tensor, classes: Tensor | None) -> Tensor:
        if not self.ends:
            return called(self.networks[0], x, t, classes)
        ends = torch.tensor(self.ends, dtype=t.dtype, device=t.device)
        interval = (t[:, None] > ends).sum(1)
        outputs: Tensor | None = None
        for j in torch.unique(interval).tolist():
            mine = interval == j
            found = called(self.networks[j], x[mine], t[mine], None if classes is None else classes[mine])
            outputs = found.new_empty(len(x), found.shape[1]) if outputs is None else outputs
            outputs[mine] = found
        return x.new_empty(0, 0) if outputs is None else outputs
