"""Disagreement: how far experts are apart along the full mixture's trajectories, and what few of them leave out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from attrs import define, frozen
from torch import Tensor

from mixvel_core.field.conversions import at_time, ddim_step
from mixvel_core.protocols import Expert, Moments, NoiseSchedule, Router
from mixvel_core.sampling.dispatch import evaluate
from mixvel_core.sampling.observation import all_answers
from mixvel_core.sampling.sampler import SampleDraws
from mixvel_core.sampling.snr_matched import all_snr_matched

TOPS = (1, 2, 3)
"""How many of the likeliest experts are looked at."""


@frozen(kw_only=True)
class DisagreementRow:
    """Of one router's weights at time t, means over points; squares are per coordinate.

    ``disagreement``: the weighted variance sum_k a_k ||m_k - m||^2, which is what drawing one expert adds to the error
    of a step. For the 1, 2, 3 likeliest experts (fewer where K is): ``shares``: of the weight, ``errors``:
    ||m_top - m||^2 with their weights scaled to sum 1, ``imbalance``: half the sum over k of the difference of the mean
    weight among them and the mean weight, which is how far they shift the shares of the experts.
    """

    router: str
    t: float
    disagreement: float
    shares: tuple[float, ...]
    errors: tuple[float, ...]
    imbalance: tuple[float, ...]


def mixed(a: Tensor, m_k: Tensor) -> Tensor:
    """D1: sum_k a_k m_k, (B, *data), of weights (B, K) and denoisers (B, K, *data)."""
    return torch.einsum("bk,bk...->b...", a, m_k)


def disagreement(a: Tensor, m_k: Tensor) -> Tensor:
    """sum_k a_k ||m_k - m||^2 / D at each point, (B,), of weights (B, K) and denoisers (B, K, *data)."""
    return (a * (m_k - mixed(a, m_k)[:, None]).square().flatten(2).mean(2)).sum(1)


def truncated(a: Tensor, count: int) -> Tensor:
    """The weights of the ``count`` likeliest experts, scaled to sum 1, and zero for the others, (B, K)."""
    values, places = a.topk(count, dim=1)
    kept = torch.zeros_like(a).scatter(1, places, values)
    return kept / kept.sum(1, keepdim=True)


def row_of(router: str, t: float, a: Tensor, m_k: Tensor) -> DisagreementRow:
    """The row of weights (B, K) and denoisers (B, K, *data) at time t."""
    tops = [top for top in TOPS if top <= a.shape[1]]
    m, mean = mixed(a, m_k), a.mean(0)
    fewer = [truncated(a, top) for top in tops]
    return DisagreementRow(
        router=router,
        t=t,
        disagreement=float(disagreement(a, m_k).mean()),
        shares=tuple(float(a.topk(top, dim=1).values.sum(1).mean()) for top in tops),
        errors=tuple(float((mixed(few, m_k) - m).square().mean()) for few in fewer),
        imbalance=tuple(float((few.mean(0) - mean).abs().sum() / 2) for few in fewer),
    )


@define(kw_only=True)
class _Answers:
    """What all experts say at the points that are looked at: x, (B, *data), and m_k, (B, K, *data)."""

    x: Tensor
    m_k: Tensor


@frozen(kw_only=True, eq=False)
class _Answered:
    """Expert ``index`` of those whose answers are there; a router that observes may ask at further points.

    ``expert``: itself, of this ``schedule``.
    """

    schedule: NoiseSchedule
    answers: _Answers
    index: int
    expert: Expert

    @property
    def moments(self) -> Moments | None:
        return self.expert.moments

    def denoise(self, x: Tensor, t: Tensor) -> Tensor:
        return self.answers.m_k[:, self.index] if x is self.answers.x else self.expert.denoise(x, t)


def along_mixture(
    routers: Mapping[str, Router],
    experts: Sequence[Expert],
    schedule: NoiseSchedule,
    draws: SampleDraws,
    shape: tuple[int, ...],
    times: Sequence[float],
    on_time: Callable[[int], None],
) -> list[DisagreementRow]:
    """Down the trajectories of the full mixture under the first router, by DDIM; every router is taken along.

    Args:
        draws: the noise that trajectories start from.
        shape: of a point, ``*data``.
        times: falling from 1.
        on_time: called with the number of times that are done.

    Returns:
        A row for each router at each time; all experts are evaluated once at each point.
    """
    x = draws.noise(shape, torch.float32)
    answers = _Answers(x=x, m_k=x[:, None])
    replayed = [
        _Answered(schedule=schedule, answers=answers, index=k, expert=expert)
        for k, expert in enumerate(all_snr_matched(experts, schedule))
    ]
    states = {name: router.start(x, x.new_ones(len(x))) for name, router in routers.items()}
    rows, first = [], next(iter(routers))
    for n, (t, s) in enumerate(pairwise([*times, times[-1]]), start=1):
        answers.x, answers.m_k = x, every(experts, x, t)
        a = {}
        for name, router in routers.items():
            a[name], _, states[name] = all_answers(router, replayed, x, t, states[name])
            rows.append(row_of(name, t, a[name].to(x.dtype), answers.m_k))
        M = mixed(a[first].to(x.dtype), answers.m_k)
        x = ddim_step(M, x, at_time(schedule, t), at_time(schedule, s))
        on_time(n)
    return rows


def every(experts: Sequence[Expert], x: Tensor, t: float) -> Tensor:
    """m_k(x, t) of all experts, (B, K, *data)."""
    mask = torch.ones(len(x), len(experts), dtype=torch.bool)
    answers = evaluate(experts, x, t, mask)
    return answers.m.reshape(len(experts), *x.shape).transpose(0, 1)
