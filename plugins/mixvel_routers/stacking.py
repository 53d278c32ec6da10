"""Stacking: a learned posterior and one in closed form, joined with weights that are functions of t.

    logits = log pi + b(t) log p_k + g(t) (log a_k - log pi_k),

a of the network, p_k the density of the closed form up to what all shards share; b and g are linear between eleven
equidistant knots. They are fitted after the network is trained, by total variation on noised items: a network that is
trained on top of the closed form from the start learns less (docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from attrs import frozen
from torch import Tensor, nn

from mixvel_core.field.scale import to_float
from mixvel_core.protocols import Batch, Items, Router
from mixvel_core.randomness import key, normal, permutation, uniform
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
class StackedRouter:
    """``network``: logits of (x, t). ``closed``: a router without a state. ``knots``: b and g, (2, n), float64.

    ``log_pi``: (K,), float64.
    """

    network: nn.Module
    closed: Router
    knots: Tensor
    log_pi: Tensor

    def start(self, x: Points, t: Times) -> None:
        """Returns None: the router keeps no state."""

    def weights(self, x: Points, t: Times, state: None) -> tuple[Weights, None]:
        """(B, K), rows on the simplex."""
        density, learned = self.terms(x, t)
        return self.joined(density, learned, t, self.knots).softmax(1).to(x.dtype), None

    def terms(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """log p_k of the closed form and log a_k - log pi_k of the network, (B, K) float64 each."""
        wide = x.double()
        a, _ = self.closed.weights(wide, t, self.closed.start(wide, t))
        # A closed form may rule a shard out; log 0 would leave the network no say.
        density = a.clamp_min(_LEAST).log() - self.log_pi
        logits: Tensor = self.network(x, t)
        return density, logits.double().log_softmax(1) - self.log_pi

    def joined(self, density: Tensor, learned: Tensor, t: Tensor, knots: Tensor) -> Tensor:
        """The logits, (B, K), of ``terms`` at times t, (B,)."""
        b, g = between_knots(knots, t)[:, :, None]
        logits: Tensor = self.log_pi + b * density + g * learned
        return logits


def fit_stack(
    network: nn.Module, closed: Router, fractions: Sequence[float], targets: Targets, items: Items
) -> StackedRouter:
    """The stacked router whose b and g bring the total variation to the exact posterior of ``items`` lowest."""
    device = next(network.parameters()).device
    knots = torch.full((2, KNOTS), 0.5, dtype=torch.float64, device=device)
    stacked = StackedRouter(network=network, closed=closed, knots=knots, log_pi=log_prior(fractions, device))
    density, learned, exact, t = _points(stacked, targets, items, device)
    knots = knots.clone().requires_grad_()
    adam = torch.optim.Adam([knots], lr=_RATE)
    with torch.enable_grad():
        for _ in range(_STEPS):
            adam.zero_grad()
            found = stacked.joined(density, learned, t, knots).softmax(1)
            (found - exact).abs().sum(1).mean().backward()  # type: ignore[no-untyped-call]  # torch leaves it without annotations
            adam.step()
    return StackedRouter(network=network, closed=closed, knots=knots.detach(), log_pi=stacked.log_pi)


@torch.no_grad()
def _points(
    stacked: StackedRouter, targets: Targets, items: Items, device: torch.device
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Both terms and the exact posterior at noised items, (n, K) each, and the times, (n,)."""
    root = key(0, "stacking")
    order = permutation(key(root, "items"), len(items), 0)
    parts = []
    for start in range(0, _POINTS, _AT_ONCE):
        rows = torch.arange(start, min(start + _AT_ONCE, _POINTS))
        chosen = order[rows % len(items)].numpy()
        x_0 = torch.from_numpy(to_float(items[chosen])).to(device)
        rows = rows.to(device)
        t = (_EARLIEST + (1.0 - _EARLIEST) * uniform(key(root, "time"), rows)).to(x_0.dtype)
        eps = normal(key(root, "noise"), rows, tuple(x_0.shape[1:]), x_0.dtype)
        batch = Batch(x_0=x_0, shard=rows, t=t, eps=eps, progress=1.0)
        x, answer = targets.at(batch, rates=False)
        parts.append((*stacked.terms(x, t), answer.a.double(), t))
    density, learned, exact, t = (torch.cat(part) for part in zip(*parts, strict=True))
    return density, learned, exact, t
