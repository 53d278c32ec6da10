"""Disagreement: how far experts are apart along the full mixture's trajectories, and what few of them leave out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.field.conversions import at_time, ddim_step
from mixvel_core.protocols import Evaluations, Expert, NoiseSchedule, Router
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.sampling.observation import all_answers, evaluate_all
from mixvel_core.sampling.snr_matched import all_snr_matched
from mixvel_core.sampling.weights import WeightTransform

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
    return WeightTransform(top=count)(a, a.new_ones(len(a)))


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
    matched = all_snr_matched(experts, schedule)
    states = {name: router.start(x, x.new_ones(len(x))) for name, router in routers.items()}
    rows, first = [], next(iter(routers))
    for n, (t, s) in enumerate(pairwise([*times, times[-1]]), start=1):
        answers = evaluate_all(matched, x, t)
        m_k = stacked(answers, x)
        a = {}
        for name, router in routers.items():
            a[name], _, states[name] = all_answers(router, matched, x, t, states[name], answers)
            rows.append(row_of(name, t, a[name].to(x.dtype), m_k))
        M = mixed(a[first].to(x.dtype), m_k)
        x = ddim_step(M, x, at_time(schedule, t), at_time(schedule, s))
        on_time(n)
    return rows


def stacked(answers: Evaluations, x: Tensor) -> Tensor:
    """m_k, (B, K, *data), of the answers of all experts at the points x, (B, *data)."""
    return answers.m.reshape(-1, *x.shape).transpose(0, 1)
