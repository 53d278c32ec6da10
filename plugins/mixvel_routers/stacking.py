"""Stacking: a learned posterior and one in closed form, joined with weights that are functions of t.

    logits = log pi + b(t) log p_k + g(t) (log a_k - log pi_k),

a of the network, p_k the density of the closed form up to what all shards share; b and g are linear between eleven
equidistant knots. They are fitted after the network is trained, by total variation on noised items: a network that is
trained on top of the closed form from the start learns less (docs/benchmarks.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from attrs import evolve, frozen
from torch import Tensor, nn

from mixvel_core.data.conditions import values_of
from mixvel_core.data.items import joined
from mixvel_core.field.scale import to_float
from mixvel_core.protocols import CLASS, Batch, Condition, ConditionalRouter, Items, Router, RouterConfig
from mixvel_core.randomness import key, normal, permutation, uniform
from mixvel_routers.class_prior import ReadsClass, class_prior
from mixvel_routers.classifier import called
from mixvel_routers.fixed import log_prior

if TYPE_CHECKING:
    from mixvel_core.types import Points, Times, Weights
    from mixvel_routers.targets import Targets

KNOTS = 11
_LEAST = 1e-300
"""Weights of the closed form, float64, count as this at least."""
_POINTS, _AT_ONCE, _STEPS, _RATE = 3000, 256, 150, 0.05
_EARLIEST = 0.01


def between_knots(values: Tensor, t: Tensor) -> Tensor:
    """Linear functions of time by their values at equidistant knots, (..., n), at t in [0, 1], (B,): (..., B)."""
    place = t.to(values.dtype).clamp(0.0, 1.0) * (values.shape[-1] - 1)
    low = place.floor().clamp_max(values.shape[-1] - 2)
    part, i = place - low, low.long()
    return (1.0 - part) * values[..., i] + part * values[..., i + 1]


@frozen(kw_only=True, eq=False)
class StackedRouter(ReadsClass):
    """``network``: logits of (x, t). ``closed``: a router without a state. ``knots``: b and g, (2, n), float64.

    ``log_pi``: (K,), float64. ``class_knots``: b and g under a class; None where items have none.
    """

    network: nn.Module
    closed: Router
    knots: Tensor
    log_pi: Tensor
    class_knots: Tensor | None = None

    def given(self, condition: Condition) -> Self:
        """The router of ``condition.values["class"]``, row by row. Raises UsageError for what is no class."""
        closed = self.closed
        if isinstance(closed, ConditionalRouter) and closed.null is not None:
            closed = closed.given(condition)
        return evolve(super().given(condition), closed=closed)

    def start(self, x: Points, t: Times) -> None:
        """Returns None: the router keeps no state."""

    def weights(self, x: Points, t: Times, state: None) -> tuple[Weights, None]:
        """(B, K), rows on the simplex."""
        density, learned = self.terms(x, t)
        bg = between_knots(self.knots, t)
        if self.class_knots is not None and self.by_class is not None and (c := self.rows_on(x)) is not None:
            bg = torch.where(c < self.by_class.classes, between_knots(self.class_knots, t), bg)
        return self.joined(density, learned, bg).softmax(1).to(x.dtype), None

    def terms(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """log p_k of the closed form and log a_k - log pi_k of the network, (B, K) float64 each; 0 for shards without
        the class."""
        wide, log_prior = x.double(), self._log_prior(x)
        a, _ = self.closed.weights(wide, t, self.closed.start(wide, t))
        # A closed form may rule a shard out; log 0 would leave the network no say.
        density = a.clamp_min(_LEAST).log() - log_prior
        learned = called(self.network, x, t, self.rows_on(x)).double().log_softmax(1) - log_prior
        never = log_prior == -torch.inf
        return density.masked_fill(never, 0.0), learned.masked_fill(never, 0.0)

    def joined(self, density: Tensor, learned: Tensor, bg: Tensor) -> Tensor:
        """The logits, (B, K), of ``terms`` by b and g at their times, (2, B)."""
        b, g = bg[:, :, None]
        logits: Tensor = self._log_prior(density) + b * density + g * learned
        return logits

    def _log_prior(self, x: Tensor) -> Tensor:
        rows = self.prior_rows(x)
        return self.log_pi if rows is None else rows.log()


def fit_stack(network: nn.Module, closed: Router, config: RouterConfig, targets: Targets) -> StackedRouter:
    """The stacked router whose b and g bring the total variation to the exact posterior of the items lowest."""
    device = next(network.parameters()).device
    knots = torch.full((2, KNOTS), 0.5, dtype=torch.float64, device=device)
    log_pi, by_class = log_prior(config.fractions, device), class_prior(config)
    stacked = StackedRouter(network=network, closed=closed, knots=knots, log_pi=log_pi, by_class=by_class)
    fitted = _fit(stacked, targets, None)
    if by_class is None:
        return evolve(stacked, knots=fitted)
    items = joined(*(values_of(shard)[CLASS] for shard in targets.members))
    return evolve(stacked, knots=fitted, class_knots=_fit(stacked, targets, items))


def _fit(stacked: StackedRouter, targets: Targets, classes: Items | None) -> Tensor:
    """b and g, (2, 11), on items under their ``classes``, or under none."""
    points = _points(stacked, targets, classes)
    knots = stacked.knots.clone().requires_grad_()
    adam = torch.optim.Adam([knots], lr=_RATE)
    with torch.enable_grad():
        for _ in range(_STEPS):
            adam.zero_grad()
            bg = between_knots(knots, points.t)
            found = points.router.joined(points.density, points.learned, bg).softmax(1)
            (found - points.exact).abs().sum(1).mean().backward()  # type: ignore[no-untyped-call]  # torch leaves it without annotations
            adam.step()
    return knots.detach()


@frozen(kw_only=True, eq=False)
class _Points:
    """Noised items at ``t``, (n,): both terms and the exact posterior, (n, K) each. ``router``: under their classes."""

    router: StackedRouter
    density: Tensor
    learned: Tensor
    exact: Tensor
    t: Tensor


@torch.no_grad()
def _points(stacked: StackedRouter, targets: Targets, classes: Items | None) -> _Points:
    root, device = key(0, "stacking"), stacked.knots.device
    items = joined(*(shard.items for shard in targets.members))
    order = permutation(key(root, "items"), len(items), 0)
    parts, labels = [], []
    for start in range(0, _POINTS, _AT_ONCE):
        rows = torch.arange(start, min(start + _AT_ONCE, _POINTS))
        chosen = order[rows % len(items)].numpy()
        x_0 = torch.from_numpy(to_float(items[chosen])).to(device)
        rows = rows.to(device)
        t = (_EARLIEST + (1.0 - _EARLIEST) * uniform(key(root, "time"), rows)).to(x_0.dtype)
        eps = normal(key(root, "noise"), rows, tuple(x_0.shape[1:]), x_0.dtype)
        batch, router = Batch(x_0=x_0, shard=rows, t=t, eps=eps, progress=1.0), stacked
        if classes is not None:
            found = torch.from_numpy(np.asarray(classes[chosen], np.int64)).to(device)
            labels.append(found)
            condition = Condition(values={CLASS: found})
            batch, router = evolve(batch, condition=condition), stacked.given(condition)
        x, answer = targets.at(batch)
        parts.append((*router.terms(x, t), answer.double(), t))
    density, learned, exact, t = (torch.cat(part) for part in zip(*parts, strict=True))
    router = stacked.given(Condition(values={CLASS: torch.cat(labels)})) if labels else stacked
    return _Points(router=router, density=density, learned=learned, exact=exact, t=t)
