"""How far to trust what is integrated and what is computed afresh, by time: fitted along trajectories of the items."""

from __future__ import annotations

from collections.abc import Callable

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.field.conversions import at_time, ddim_step
from mixvel_core.protocols import RouterConfig
from mixvel_core.randomness import key, normal
from mixvel_routers.integrated import Gains, IntegratedRouter, RateAnswer
from mixvel_routers.targets import Targets

BUCKETS = 8
_STEPS, _COUNT, _EARLIEST = 3 * BUCKETS, 128, 0.01
STEP = (1.0 - _EARLIEST) / _STEPS
"""The length of the steps that gains are fitted for."""
_TRIED = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
_SWEEPS = 2


@frozen(kw_only=True, eq=False)
class _Call:
    """One call of a router along the trajectories: its answer, and the exact posterior there, (B, K)."""

    t: Tensor
    answer: RateAnswer
    exact: Tensor


@torch.no_grad()
def fit_gains(
    rate: Callable[[Tensor, Tensor], RateAnswer], config: RouterConfig, targets: Targets, device: torch.device
) -> Tensor:
    """The gains, (8,) float64 from data to noise, with the least total variation to the exact posterior on 128
    trajectories of the exact flow: one gain at a time is tried at eight values, all of them twice.
    """
    calls = _calls(rate, config, targets, device)
    gains = torch.full((BUCKETS,), 0.2, dtype=torch.float64, device=device)
    for _ in range(_SWEEPS):
        # From noise to data: what is lost early stays.
        for b in reversed(range(BUCKETS)):
            tried = gains.repeat(len(_TRIED), 1)
            tried[:, b] = torch.tensor(_TRIED, dtype=torch.float64)
            gains = tried[int(_errors(calls, config, tried).argmin())]
    return gains


def _calls(
    rate: Callable[[Tensor, Tensor], RateAnswer], config: RouterConfig, targets: Targets, device: torch.device
) -> list[_Call]:
    """Down the exact flow by DDIM."""
    index = torch.arange(_COUNT, device=device)
    x = normal(key(0, "gains"), index, config.shape, torch.float32)
    times = [1.0 - STEP * n for n in range(_STEPS + 1)]
    calls = []
    for n, time in enumerate(times):
        t = x.new_full((len(x),), time)
        exact = targets.of(x, t, means=n < _STEPS)
        calls.append(_Call(t=t, answer=rate(x, t), exact=exact.a))
        if n < _STEPS:
            x = ddim_step(exact.m, x, at_time(targets.schedule, time), at_time(targets.schedule, times[n + 1]))
    return calls


def _errors(calls: list[_Call], config: RouterConfig, values: Tensor) -> Tensor:
    """The mean total variation with each row of gains, (V,); the networks are not evaluated again."""
    V, B = len(values), len(calls[0].t)
    answers = (_repeated(call.answer, V) for call in calls)
    gains = Gains(values=values.repeat_interleave(B, dim=0), step=STEP)
    router = IntegratedRouter(rate=lambda x, t: next(answers), fractions=config.fractions, gains=gains)
    x = calls[0].exact.repeat(V, 1)
    state, total = router.start(x, calls[0].t.repeat(V)), values.new_zeros(V)
    for call in calls:
        a, state = router.weights(x, call.t.repeat(V), state)
        total += (a.view(V, B, -1) - call.exact).abs().sum(2).double().mean(1) / 2
    return total / len(calls)


def _repeated(answer: RateAnswer, count: int) -> RateAnswer:
    log_a = None if answer.log_a is None else answer.log_a.repeat(count, 1)
    return RateAnswer(log_rate=answer.log_rate.repeat(count, 1), log_a=log_a)
