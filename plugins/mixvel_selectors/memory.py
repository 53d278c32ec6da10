"""The last two denoisers of every expert and their extrapolation.

With theta and theta' the angles of the last two evaluations of expert k, g(x, t) the guess of its denoiser in closed
form (D3, of the router's Gaussians or of the shard's moments), and d = m - g the difference at an evaluation,

    m^(x, t) = g(x, t) + d + w (d - d'),   w = c min((theta - angle of t) / (theta' - theta), 1),

c the part of the last change that is ``carried`` on; over more than one interval none is, because that overshoots.

The angle atan(sigma/alpha) is the same on every schedule, so a selector that remembers does the same on all of them.
"""

from __future__ import annotations

import math

import torch
from attrs import define
from torch import Tensor

from mixvel_core.field.angle import angle_at
from mixvel_core.field.conversions import at_time
from mixvel_core.field.guess import DiagonalGuess
from mixvel_core.field.mixture import weighted_sum
from mixvel_core.protocols import Evaluations, Guess, NoiseSchedule, Prior


def angle(schedule: NoiseSchedule, t: float) -> float:
    """theta = atan(sigma/alpha) at t."""
    return float(angle_at(schedule, torch.tensor(t, dtype=torch.float64)))


FAINT = 0.01
"""An expert of less weight than this part of the likeliest one's is left for later where all are evaluated first."""


@define(kw_only=True, eq=False)
class Memory:
    """The last two evaluations of K experts for B samples.

    ``guess``: g of all K. ``carried``: c, 0 to 1. ``last``, ``before``: d and d', (B, K, D). ``last_angle``,
    ``before_angle``: theta and theta', (B, K) float64; theta' is infinite until there are two. ``count``: evaluations
    so far, (B, K).
    """

    schedule: NoiseSchedule
    guess: Guess
    carried: float
    last: Tensor
    before: Tensor
    last_angle: Tensor
    before_angle: Tensor
    count: Tensor

    def age(self, t: float) -> Tensor:
        """theta less that of t: how long ago each expert was evaluated, (B, K) >= 0; -inf if never, without a prior."""
        return self.last_angle - angle(self.schedule, t)

    def reach(self, t: float) -> Tensor:
        """w, the part of its last change that is added to each difference, (B, K)."""
        two = self.before_angle.isfinite()
        interval = torch.where(two, self.before_angle - self.last_angle, 1.0)
        return torch.where(two, self.carried * (self.age(t) / interval).clamp(0.0, 1.0), 0.0)

    def extrapolate(self, x: Tensor, t: float, weights: Tensor) -> Tensor:
        """sum_k weights_k m^_k(x, t), (B, D); nothing of size (B, K, D) is made.

        Args:
            x: points, (B, D).
            t: their time.
            weights: (B, K), zero for experts whose fresh denoiser is used instead.
        """
        w = self.reach(t).to(weights)
        differences = torch.einsum("bk,bkd->bd", weights * (1.0 + w), self.last)
        differences -= torch.einsum("bk,bkd->bd", weights * w, self.before)
        return differences + self.guess.weighted(x, at_time(self.schedule, t), weights)

    def mixture(self, x: Tensor, t: float, a: Tensor, answers: Evaluations) -> Tensor:
        """sum_k a_k m_k, (B, *data), with m^_k in place of m_k where expert k is not evaluated; x is (B, *data)."""
        # Not `stale[i, k] = 0.0`: a number is copied to the device first, and that waits for it.
        stale = a.index_put((answers.sample, answers.expert), a.new_zeros(()))
        # The fresh part is summed as the full mixture sums it: where nothing is stale they are equal, bit for bit.
        return weighted_sum(a, answers) + self.extrapolate(x.flatten(1), t, stale).reshape(x.shape)

    def store(self, x: Tensor, t: float, answers: Evaluations) -> Tensor:
        """Takes in evaluations at x, (B, D), and t; returns what the extrapolation missed, m_k - m^_k, (E, D).

        One at the time of the one before replaces it, as the second stage of a Heun step replaces the first.
        """
        i, k = answers.sample, answers.expert
        fresh = answers.m.flatten(1) - self.guess.of(x[i], at_time(self.schedule, t), k, i)
        last, w = self.last[i, k], self.reach(t)[i, k].to(x)[:, None]
        missed: Tensor = fresh - last - w * (last - self.before[i, k])
        before_angle = self.last_angle[i, k]
        position = torch.full_like(before_angle, angle(self.schedule, t))
        later = before_angle > position
        self.before[i, k] = torch.where(later[:, None], last, self.before[i, k])
        self.before_angle[i, k] = torch.where(later, before_angle, self.before_angle[i, k])
        self.last[i, k] = fresh
        self.last_angle[i, k] = position
        self.count[i, k] += 1
        return missed


def empty_memory(x: Tensor, schedule: NoiseSchedule, prior: Prior | None, experts: int, *, carried: float) -> Memory:
    """Before the first evaluation: m^ = g, as if evaluated at t = 1.

    Without ``prior`` g is zero, which is no guess: the first answer has no other before it to be extrapolated with.
    """
    size = (len(x), experts)
    D = math.prod(x.shape[1:])
    zero = x.new_zeros(experts, D)
    mean, variance = (prior.mean.flatten(1), prior.variance.flatten(1)) if prior else (zero, zero)
    return Memory(
        schedule=schedule,
        guess=(prior.guess if prior else None) or DiagonalGuess(mean=mean, variance=variance),
        carried=carried,
        last=x.new_zeros(*size, D),
        before=x.new_zeros(*size, D),
        last_angle=torch.full(size, angle(schedule, 1.0) if prior else -math.inf, dtype=torch.float64, device=x.device),
        before_angle=torch.full(size, math.inf, dtype=torch.float64, device=x.device),
        count=torch.zeros(size, dtype=torch.int64, device=x.device),
    )


def unguessed(a: Tensor, prior: Prior | None) -> Tensor | None:
    """The experts that are evaluated first because nothing is a guess of theirs, (B, K) bool; None where all have one.

    Without moments these are all. Under a condition moments of whole shards are no guess, not even where there is only
    noise: there the mean of all conditions takes the place of the condition's own.
    """
    if prior is None:
        return torch.ones_like(a, dtype=torch.bool)
    return not_faint(a) if prior.of_all else None


def not_faint(a: Tensor) -> Tensor:
    """The experts of some weight, (B, K) bool."""
    return a >= FAINT * a.amax(1, keepdim=True)


def at_samples(x: Tensor, sample: Tensor, scale: Tensor, missed: Tensor) -> Tensor:
    """A jump in the shape of x: of each sample the sum of scale times missed over its evaluations.

    Args:
        x: points, (B, *data).
        sample: rows of x, (E,).
        scale: of each evaluation, (E,).
        missed: m_k - m^_k, (E, D).
    """
    added = torch.zeros_like(x.flatten(1)).index_add_(0, sample, scale.to(missed)[:, None] * missed)
    return added.reshape(x.shape)
