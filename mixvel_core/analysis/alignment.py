"""Alignment: each expert's denoising loss on noised items of its own shard and of the others, by time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.analysis.disagreement import mixed, stacked, truncated
from mixvel_core.field.conversions import add_noise, point_for
from mixvel_core.protocols import Expert, NoiseSchedule, Router
from mixvel_core.randomness import key, normal
from mixvel_core.sampling.observation import evaluate_all

OWN, MONOLITH, MIXTURE = "own expert", "monolith", "mixture"


@frozen(kw_only=True)
class AlignmentRow:
    """At time t. ``losses``: for each expert k and shard j, the mean over items x_0 of shard j of
    ||m_k(x_t, t) - x_0||^2, per coordinate."""

    t: float
    losses: tuple[tuple[float, ...], ...]


@frozen(kw_only=True)
class RuleRow:
    """The same loss over all shards, each by its fraction, of what a rule makes of the experts' answers at time t.

    ``rule``: ``own expert``, that of the item's shard; ``monolith``; ``mixture`` by the weights of ``router``; or
    ``top-1``, ``top-2``, its likeliest experts alone. ``router``: empty for the first two.
    """

    router: str
    rule: str
    t: float
    loss: float


@frozen(kw_only=True, eq=False)
class LabelledItems:
    """``x_0``: items, (n, *data), of ``shard``, (n,) int64. ``weight``: of each in a mean over the data set, (n,)."""

    x_0: Tensor
    shard: Tensor
    weight: Tensor


def alignment(
    items: LabelledItems,
    experts: Sequence[Expert],
    monolith: Expert | None,
    routers: Mapping[str, Router],
    schedule: NoiseSchedule,
    seed: int,
    times: Sequence[float],
    on_time: Callable[[int], None],
) -> tuple[list[AlignmentRow], list[RuleRow]]:
    """The losses of all experts and rules on the same noised items, at each time.

    Args:
        items: of all shards.
        monolith: None where there is none.
        routers: those without a state; others have no weights at a point by itself.
        seed: of the noise.
        on_time: called with the number of times that are done.
    """
    x_0, K = items.x_0, len(experts)
    index = torch.arange(len(x_0), device=x_0.device)
    own = torch.nn.functional.one_hot(items.shard, K).to(x_0.dtype)
    of_shard = own / own.sum(0)
    rows, rules = [], []
    for n, t in enumerate(times):
        at_t = x_0.new_full((len(x_0),), t)
        eps = normal(key(seed, "diagnostics", "noise"), index, tuple(x_0.shape[1:]), x_0.dtype, n)
        x = add_noise(x_0, eps, point_for(schedule, at_t, x_0))
        m_k = stacked(evaluate_all(experts, x, t), x)
        losses = _loss(m_k, x_0[:, None].expand_as(m_k), 2)
        rows.append(AlignmentRow(t=t, losses=tuple(map(tuple, (losses.T @ of_shard).tolist()))))
        made = {("", OWN): (losses * own).sum(1)}
        if monolith is not None:
            made["", MONOLITH] = _loss(monolith.denoise(x, at_t), x_0, 1)
        for name, router in routers.items():
            a = router.weights(x, at_t, None)[0].to(x.dtype)
            made[name, MIXTURE] = _loss(mixed(a, m_k), x_0, 1)
            for top in (1, 2):
                if top < K:
                    made[name, f"top-{top}"] = _loss(mixed(truncated(a, top), m_k), x_0, 1)
        rules += [
            RuleRow(router=router, rule=rule, t=t, loss=float((loss * items.weight).sum()))
            for (router, rule), loss in made.items()
        ]
        on_time(n + 1)
    return rows, rules


def _loss(m: Tensor, x_0: Tensor, first: int) -> Tensor:
    """The squared distance per coordinate; coordinates begin at axis ``first``."""
    return (m - x_0).square().flatten(first).mean(first)
