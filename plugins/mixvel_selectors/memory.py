"""The last two denoisers of every expert and their extrapolation, and the local error of an integrator beside it.

With theta and theta' the angles of the last two evaluations of expert k, g(x, t) the prior guess (D3 from the moments),
and d = m - g the difference at an evaluation,

    m^(x, t) = g(x, t) + d + w (d - d'),   w = (angle of t - theta) / (theta - theta'), at most ``LONGEST``.

The angle atan(sigma/alpha) is the same on every schedule, so a selector that remembers does the same on all of them.
"""

from __future__ import annotations

import math

import torch
from attrs import define, field
from torch import Tensor
from torch.linalg import vector_norm

from mixvel_core.field.angle import angle_at
from mixvel_core.field.conversions import at_time
from mixvel_core.field.mixture import gaussian_denoiser
from mixvel_core.protocols import Evaluations, NoiseSchedule, Prior


@define(kw_only=True, eq=False)
class LocalError:
    """The second difference of M over the last three distinct times: what a second-order step cannot follow, (B,)."""

    _past: list[tuple[float, Tensor]] = field(factory=list)

    def add(self, t: float, M: Tensor) -> None:
        """Takes in the estimate M, (B, D), at t; a second one at the same time replaces the first."""
        if self._past and self._past[-1][0] == t:
            self._past.pop()
        self._past = [*self._past[-2:], (t, M)]

    def size(self) -> Tensor | None:
        """||(M_n - M_{n-1}) - rho (M_{n-1} - M_{n-2})|| with rho the ratio of the steps; of two, the difference.

        None before there are two: a first step has no error to compare with.
        """
        if len(self._past) < 2:
            return None
        (t_1, M_1), (t, M) = self._past[-2:]
        if len(self._past) == 2:
            return _norm(M - M_1)
        t_2, M_2 = self._past[0]
        ratio = (t_1 - t) / (t_2 - t_1)
        return _norm((M - M_1) - ratio * (M_1 - M_2))


def _norm(difference: Tensor) -> Tensor:
    norm: Tensor = vector_norm(difference, dim=1)
    return norm.double()


LONGEST = 1.0
"""The most of its own last intervals over which an expert's difference is extrapolated; longer overshoots."""


def angle(schedule: NoiseSchedule, t: float) -> float:
    """theta = atan(sigma/alpha) at t."""
    return float(angle_at(schedule, torch.tensor(t, dtype=torch.float64)))


@define(kw_only=True, eq=False)
class Memory:
    """The last two evaluations of K experts for B samples.

    ``mean``, ``variance``: of the prior guess, (K, D). ``last``, ``before``: d and d', (B, K, D). ``last_angle``,
    ``before_angle``: theta and theta', (B, K) float64; theta' is infinite until there are two. ``count``: evaluations
    so far, (B, K).
    """

    schedule: NoiseSchedule
    mean: Tensor
    variance: Tensor
    last: Tensor
    before: Tensor
    last_angle: Tensor
    before_angle: Tensor
    count: Tensor

    def age(self, t: float) -> Tensor:
        """theta less that of t: how long ago each expert was evaluated, (B, K) >= 0; -inf if never, without a prior."""
        return self.last_angle - angle(self.schedule, t)

    def reach(self, t: float) -> Tensor:
        """w, how far each difference is extrapolated in units of its last interval, (B, K)."""
        two = self.before_angle.isfinite()
        interval = torch.where(two, self.before_angle - self.last_angle, 1.0)
        return torch.where(two, (self.age(t) / interval).clamp(0.0, LONGEST), 0.0)

    def extrapolate(self, x: Tensor, t: float, weights: Tensor) -> Tensor:
        """sum_k weights_k m^_k(x, t), (B, D); nothing of size (B, K, D) is made.

        Args:
            x: points, (B, D).
            t: their time.
            weights: (B, K), zero for experts whose fresh denoiser is used instead.
        """
        p = at_time(self.schedule, t)
        # The guess is affine in x with coefficients of shape (K, D): two products with the weights sum it.
        constant = gaussian_denoiser(torch.zeros_like(self.mean), p, self.mean, self.variance)
        slope = gaussian_denoiser(torch.ones_like(self.mean), p, self.mean, self.variance) - constant
        w = self.reach(t).to(weights)
        differences = torch.einsum("bk,bkd->bd", weights * (1.0 + w), self.last)
        differences -= torch.einsum("bk,bkd->bd", weights * w, self.before)
        return differences + weights @ constant + x * (weights @ slope)

    def store(self, x: Tensor, t: float, answers: Evaluations) -> Tensor:
        """Takes in evaluations at x, (B, D), and t; returns what the extrapolation missed, m_k - m^_k, (E, D).

        One at the time of the one before replaces it, as the second stage of a Heun step replaces the first.
        """
        i, k = answers.sample, answers.expert
        p = at_time(self.schedule, t)
        m = answers.m.flatten(1)
        fresh = m - gaussian_denoiser(x[i], p, self.mean[k], self.variance[k])
        last, w = self.last[i, k], self.reach(t)[i, k].to(x)[:, None]
        missed: Tensor = fresh - last - w * (last - self.before[i, k])
        position = angle(self.schedule, t)
        later = self.last_angle[i, k] > position
        self.before[i, k] = torch.where(later[:, None], last, self.before[i, k])
        self.before_angle[i, k] = torch.where(later, self.last_angle[i, k], self.before_angle[i, k])
        self.last[i, k] = fresh
        self.last_angle[i, k] = position
        self.count[i, k] += 1
        return missed


def empty_memory(x: Tensor, schedule: NoiseSchedule, prior: Prior | None, experts: int) -> Memory:
    """Before the first evaluation: m^ = g, as if evaluated at t = 1.

    Without ``prior`` g is zero, which nobody said: the first answer has no other before it to be extrapolated with.
    """
    size = (len(x), experts)
    D = math.prod(x.shape[1:])
    zero = x.new_zeros(experts, D)
    return Memory(
        schedule=schedule,
        mean=prior.mean.flatten(1) if prior else zero,
        variance=prior.variance.flatten(1) if prior else zero,
        last=x.new_zeros(*size, D),
        before=x.new_zeros(*size, D),
        last_angle=torch.full(size, angle(schedule, 1.0) if prior else -math.inf, dtype=torch.float64, device=x.device),
        before_angle=torch.full(size, math.inf, dtype=torch.float64, device=x.device),
        count=torch.zeros(size, dtype=torch.int64, device=x.device),
    )
