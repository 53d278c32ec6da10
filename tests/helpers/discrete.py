"""Small discrete data sets with everything about them written out (D2), in float64 and differentiable in x and t."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.protocols import Evaluations, NoiseSchedule, Prior, SchedulePoint, Selector
from mixvel_core.sampling.draws import SampleDraws


@frozen(kw_only=True, eq=False)
class Discrete:
    """``points`` (n, D) with ``weights`` (n,), in shards ``shard`` (n,) with numbers 0 .. K - 1.

    Functions take x (B, D) and t (), and are written for the referee: the formulas as they stand, no cleverness.
    """

    schedule: NoiseSchedule
    points: Tensor
    weights: Tensor
    shard: Tensor

    @property
    def K(self) -> int:
        return int(self.shard.max()) + 1

    @property
    def R(self) -> float:
        """Radius of the ball around 0 that holds the data."""
        return float(self.points.norm(dim=1).max())

    def p(self, x: Tensor, t: Tensor) -> Tensor:
        """The posterior of each point, (B, n)."""
        s = self.schedule.at(t)
        square = (x[:, None, :] - s.alpha * self.points).square().sum(2)
        return torch.softmax(self.weights.log() - square / (2 * s.sigma**2), dim=1)

    def a(self, x: Tensor, t: Tensor) -> Tensor:
        member = torch.nn.functional.one_hot(self.shard, self.K).double()
        return self.p(x, t) @ member

    def m(self, x: Tensor, t: Tensor) -> Tensor:
        return self.p(x, t) @ self.points

    def m_k(self, x: Tensor, t: Tensor) -> Tensor:
        """(B, K, D), from each shard's own softmax: finite where a_k underflows."""
        s = self.schedule.at(t)
        square = (x[:, None, :] - s.alpha * self.points).square().sum(2)
        logits = self.weights.log() - square / (2 * s.sigma**2)
        masked = [logits.masked_fill(self.shard != k, -torch.inf) for k in range(self.K)]
        return torch.stack([torch.softmax(one, dim=1) @ self.points for one in masked], dim=1)

    def s(self, x: Tensor, t: Tensor) -> Tensor:
        p = self.schedule.at(t)
        return (p.alpha * self.m(x, t) - x) / p.sigma**2

    def v(self, x: Tensor, t: Tensor) -> Tensor:
        return velocity_of(self.schedule.at(t), x, self.m(x, t))

    def v_k(self, x: Tensor, t: Tensor) -> Tensor:
        """V1 of each expert, (B, K, D)."""
        return velocity_of(self.schedule.at(t), x[:, None], self.m_k(x, t))


def velocity_of(p: SchedulePoint, x: Tensor, m: Tensor) -> Tensor:
    """V1 from a denoiser; ``p`` at one time."""
    rate = p.d_sigma / p.sigma
    return rate * x + (p.d_alpha - p.alpha * rate) * m


def random_discrete(
    schedule: NoiseSchedule, *, dimension: int, count: int, experts: int, radius: float, seed: int
) -> Discrete:
    """``count`` >= ``experts`` points, the farthest exactly at ``radius``; uneven weights, no shard empty."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(count, dimension, generator=generator, dtype=torch.float64)
    points = points * (radius / points.norm(dim=1).max())
    weights = 0.1 + torch.rand(count, generator=generator, dtype=torch.float64)
    return Discrete(
        schedule=schedule, points=points, weights=weights / weights.sum(), shard=torch.arange(count) % experts
    )


def moments(data: Discrete) -> Prior:
    """Mean and variance of each shard."""
    means, variances = [], []
    for k in range(data.K):
        mine = data.shard == k
        w, points = data.weights[mine] / data.weights[mine].sum(), data.points[mine]
        means.append(w @ points)
        variances.append(w @ (points - means[-1]) ** 2)
    return Prior(mean=torch.stack(means), variance=torch.stack(variances))


def sampled(
    data: Discrete, selector: Selector, x: Tensor, times: Tensor, *, wrong: float = 0.0, guess: bool = True
) -> tuple[list[Tensor], list[Tensor]]:
    """Euler with a selector: the points, and xi_n of each step. Experts are off by ``wrong``."""
    rows = torch.arange(len(x))
    prior = moments(data) if guess else None
    state = selector.start(x, data.schedule, prior, SampleDraws(seed=4, index=rows))
    off = wrong * torch.ones(x.shape[1], dtype=torch.float64) / math.sqrt(x.shape[1])
    points, noise = [x], []
    for n, (t, s) in enumerate(pairwise(times)):
        # As a network's error does, theirs changes from call to call.
        a, m = data.a(x, t), data.m_k(x, t) + off * (-1) ** n
        mask, state = selector.select(x, float(t), a, state)
        i, k = mask.nonzero(as_tuple=True)
        M, state = selector.combine(x, float(t), a, Evaluations(sample=i, expert=k, m=m[i, k]), state)
        p = data.schedule.at(t)
        noise.append(velocity_of(p, x, M) - velocity_of(p, x, torch.einsum("bk,bkd->bd", a, m)))
        x = x + (s - t) * velocity_of(p, x, M)
        points.append(x)
    return points, noise


def flow(data: Discrete, x: Tensor, times: Tensor) -> list[Tensor]:
    """The exact flow at the given times, by RK4 with 4 steps between each two."""
    out = [x]
    for high, low in pairwise(times):
        h = (low - high) / 4
        for i in range(4):
            t = high + i * h
            k1 = data.v(x, t)
            k2 = data.v(x + 0.5 * h * k1, t + 0.5 * h)
            k3 = data.v(x + 0.5 * h * k2, t + 0.5 * h)
            x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + data.v(x + h * k3, t + h))
        out.append(x)
    return out


def in_time(function: Callable[[Tensor, Tensor], Tensor], x: Tensor, t: Tensor) -> Tensor:
    """d/dt of a function at fixed x."""
    return _derivative(lambda time: function(x, time), (t,), (torch.ones_like(t),))


def along_flow(data: Discrete, x: Tensor, t: Tensor) -> Tensor:
    """x'': d/dt of v along its own flow."""
    return _derivative(data.v, (x, t), (data.v(x, t), torch.ones_like(t)))


def jacobians(function: Callable[[Tensor, Tensor], Tensor], x: Tensor, t: Tensor) -> Tensor:
    """The Jacobian in x at each point, (B, D, D)."""
    functional: Any = torch.autograd.functional  # publishes no types
    whole: Tensor = functional.jacobian(lambda points: function(points, t).sum(0), x)
    return whole.permute(1, 0, 2)


def _derivative(function: Callable[..., Tensor], at: tuple[Tensor, ...], along: tuple[Tensor, ...]) -> Tensor:
    functional: Any = torch.autograd.functional  # publishes no types
    found: Tensor = functional.jvp(function, at, along)[1]
    return found
