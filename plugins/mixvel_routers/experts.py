"""experts: the posterior from the experts' own answers along the trajectory; no network, and no data if need be.

With y = alpha x / sigma^2 and s = alpha^2 / sigma^2 the density of shard k is p_t^k(x) = Z_k(y, s) times what all
shards share, and Z_k(y, s) = E_k exp(x_0.y - s |x_0|^2 / 2) has along any smooth path the exact differential

    d log Z_k = m_k.dy - (|m_k|^2 + tr Cov_k)/2 ds,      Z_k = 1 at s = 0,

with m_k the denoiser, which the expert gives, and tr Cov_k = (sigma^2/alpha) div m_k. Of two experts log Z_k is their
log density ratio (SuperDiff, Skreta et al. 2025, has the Ito form of it along reverse SDEs). What is integrated is the
difference from the shards' Gaussians, log Z_k = log Z_k^G + C_k, by the trapezoidal rule on arrival: of order 2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from attrs import evolve, frozen
from torch import Tensor

from mixvel_core.field.class_gaussians import class_gaussians
from mixvel_core.field.gaussians import gaussians_of_tensors
from mixvel_core.protocols import Ask, Evaluations, NoiseSchedule, RouterConfig, Shard, TrainTask
from mixvel_core.randomness import bits, key
from mixvel_routers.class_prior import class_prior
from mixvel_routers.closed_form_options import ExpertsOptions
from mixvel_routers.fixed import log_prior
from mixvel_routers.moments import ClosedForm, check_shards, gaussian_tensors

if TYPE_CHECKING:
    from mixvel_core.types import Points, Times, Weights

LEAST_ALPHA = 1e-2
"""Where there is less of the data in x, a probe of the second moment would be all rounding."""
LEAST_VARIANCE = 1e-12
"""Of the noise, at t = 0."""
PROBE = 1e-2
"""Length of a probe's coordinates, in units of sigma."""


@frozen(kw_only=True, eq=False)
class CorrectionRates:
    """What C_k changes by, as far as it is known.

    ``r``: m_k less the denoiser of the Gaussian (or less nothing), (B, K, D). ``tau``: tr Cov_k by a probe, less that
    of the Gaussian (or less nothing), (B, K). ``known``, ``measured``: whether r and tau are, (B, K).
    """

    r: Tensor
    tau: Tensor
    known: Tensor
    measured: Tensor


@frozen(kw_only=True, eq=False)
class Place:
    """A point of the trajectories: ``t`` and ``s``, (B, 1), ``y``, (B, D), float64; ``c``: C_k, (B, K). ``guess``: the
    prior's denoisers, (B, K, D); ``trace``: the Gaussians' tr Cov_k, (B, K), zero where there are none."""

    t: Tensor
    s: Tensor
    y: Tensor
    c: Tensor
    guess: Tensor
    trace: Tensor
    rates: CorrectionRates


@frozen(kw_only=True, eq=False)
class Integration:
    """``now``: where the trajectories are. ``begin``: where the step there began. ``answered``: which experts were
    evaluated at the time of ``now``, (B, K). ``index``: of each trajectory, (B,), and ``count`` of observations, for
    the probes."""

    begin: Place
    now: Place
    answered: Tensor
    index: Tensor
    count: int


@frozen(kw_only=True, eq=False)
class ExpertsRouter(ClosedForm):
    """The posterior pi_k Z_k / sum_j pi_j Z_j. Before any answer it is that of the Gaussians, or pi.

    Under a class the answers are of its own experts and Z_k of the class, so that p(k | c) takes the place of pi, and
    cells that of shards. ``gaussians``: None where ``options`` do without. An expert that is not evaluated keeps its
    difference from the Gaussian, which fades (``decay``).
    """

    options: ExpertsOptions

    def start(self, x: Points, t: Times) -> Integration:
        """C = 0 at (x, t), which is to be t = 1."""
        B, K, D = len(x), len(self.log_pi), x[0].numel()
        nothing = x.new_zeros(B, K, dtype=torch.float64)
        unknown = torch.zeros_like(nothing, dtype=torch.bool)
        rates = CorrectionRates(r=x.new_zeros(B, K, D), tau=nothing, known=unknown, measured=unknown)
        # Later than any time: the first call begins a step of no length.
        later = torch.full((B, 1), math.inf, dtype=torch.float64, device=x.device)
        now, _ = self._place(x, t, nothing, rates)
        now = evolve(now, t=later)
        return Integration(begin=now, now=now, answered=unknown, index=_index_of(x), count=0)

    def weights(self, x: Points, t: Times, state: Integration) -> tuple[Weights, Integration]:
        """The posterior at (x, t), (B, K), by the rates known so far."""
        further = t.double()[:, None] < state.now.t
        begin = _chosen(further, state.now, state.begin)
        held = evolve(state.now.rates, r=state.now.rates.r * (1.0 - self.options.decay))
        rates = _chosen_rates(further, held, state.now.rates)
        answered = state.answered & ~further
        now, log_density = self._place(x, t, begin.c, rates)
        now = evolve(now, c=self._integral(begin, now))
        logits = self.log_prior(x) + log_density + now.c
        return logits.softmax(1).to(x.dtype), evolve(state, begin=begin, now=now, answered=answered)

    def observe(self, x: Points, t: Times, answers: Evaluations, ask: Ask, state: Integration) -> Integration:
        """Takes the answers in, with a probe of their second moments if that is an option."""
        i, k = answers.sample, answers.expert
        now, rates = state.now, state.now.rates
        answered = state.answered.clone()
        answered[i, k] = True
        known, r = rates.known | answered, rates.r.clone()
        r[i, k] = (answers.m.flatten(1).double() - now.guess[i, k]).to(r.dtype)
        tau, measured = rates.tau, rates.measured
        if self.options.second_moment == "probe":
            tau, measured = tau.clone(), measured.clone()
            tau[i, k] = self.second_moments(x, t, answers, ask, state)
            measured[i, k] = self.schedule.at(t.double()).alpha[i] >= LEAST_ALPHA
        now = evolve(now, rates=CorrectionRates(r=r, tau=tau, known=known, measured=measured))
        now = evolve(now, c=self._integral(state.begin, now))
        return evolve(state, now=now, answered=answered, count=state.count + 1)

    def _place(self, x: Tensor, t: Tensor, c: Tensor, rates: CorrectionRates) -> tuple[Place, Tensor]:
        """(x, t) in the coordinates of the integral, and the Gaussians' log densities there, (B, K)."""
        p = self.schedule.at(t.double())
        flat = x.flatten(1).double()
        guess, trace, log_density = rates.r.new_zeros(1, 1, 1), c.new_zeros(1, 1), torch.zeros_like(c)
        if self.seen is not None:
            found = self.seen.answers(x, p)
            if self.options.prior == "moments":
                guess, log_density = found.m, found.log_density
            trace = found.trace
        variance = (p.sigma**2).clamp_min(LEAST_VARIANCE)[:, None]
        place = Place(
            t=t.double()[:, None],
            s=(p.alpha**2)[:, None] / variance,
            y=p.alpha[:, None] * flat / variance,
            c=c,
            guess=guess.expand(*rates.r.shape),
            trace=trace.expand_as(c),
            rates=rates,
        )
        return place, log_density

    def _integral(self, begin: Place, now: Place) -> Tensor:
        """C_k at ``now``, (B, K): the trapezoidal rule, or the one end that is known."""
        dy, ds = now.y - begin.y, now.s - begin.s
        old, new = begin.rates, now.rates
        along = self._mean(old.known, *(torch.einsum("bkd,bd->bk", one.r.double(), dy) for one in (old, new)))
        both = old.measured if self.options.second_moment == "probe" else old.known
        growth = self._mean(both, self._excess(begin), self._excess(now))
        change = torch.where(new.known, along - 0.5 * growth * ds, 0.0)
        # The last steps are long in s, and errors of experts outgrow everything there.
        moves = now.s * self.options.freeze**2 <= 1.0
        return begin.c + torch.where(moves, change, 0.0)

    def _excess(self, place: Place) -> Tensor:
        """|m_k|^2 + tr Cov_k less what the prior has of it, (B, K)."""
        r = place.rates.r.double()
        # Where both are the Gaussians' the second moment cancels.
        adds = (self.options.prior, self.options.second_moment) == ("none", "moments")
        found = ((2.0 * place.guess + r) * r).sum(-1) + place.rates.tau
        return found + place.trace if adds else found

    @staticmethod
    def _mean(both: Tensor, old: Tensor, new: Tensor) -> Tensor:
        return torch.where(both, 0.5 * (old + new), new)

    def second_moments(self, x: Points, t: Times, answers: Evaluations, ask: Ask, state: Integration) -> Tensor:
        """tr Cov_k = (sigma^2/alpha) div m_k of the answers, less the Gaussians', (E,) float64.

        By one random direction z at each x (Hutchinson), as z.(d_k(x + h z) - d_k(x))/h with d_k = m_k less the
        Gaussian's denoiser: what the Gaussian knows of the divergence adds no noise.
        """
        i, k = answers.sample, answers.expert
        p = self.schedule.at(t.double())
        place = torch.arange(x[0].numel(), device=x.device)
        z = (2 * (bits(key(0, "probe"), state.index[:, None], state.count, place[None, :]) & 1) - 1).double()
        h = (PROBE * p.sigma.clamp_min(LEAST_ALPHA))[:, None]
        moved = (x.flatten(1).double() + h * z).to(x.dtype).reshape(x.shape)
        # The step that rounding leaves.
        step = moved.flatten(1).double() - x.flatten(1).double()
        mask = torch.zeros_like(state.answered)
        mask[i, k] = True
        there = ask(moved, mask)
        m = x.new_zeros(*mask.shape, x[0].numel())
        m[there.sample, there.expert] = there.m.flatten(1)
        gap = m[i, k].double() - answers.m.flatten(1).double()
        if self.seen is not None and self.options.prior == "moments":
            gap = gap - (self.seen.answers(moved, p).m - state.now.guess)[i, k]
        divergence = (gap * step[i]).sum(1) / (h[i, 0] ** 2)
        return (p.sigma**2 / p.alpha.clamp_min(LEAST_ALPHA))[i] * divergence


def _index_of(x: Tensor) -> Tensor:
    """A number for each trajectory from the bits of its first point, (B,) int64: its probes are a function of it."""
    flat = x.flatten(1).double().view(torch.int64)
    return (flat * (bits(key(0, "trajectory"), torch.arange(flat.shape[1], device=x.device)) | 1)).sum(1)


def _chosen(rows: Tensor, one: Place, other: Place) -> Place:
    """``one`` where ``rows``, (B, 1) bool, else ``other``."""
    names = ("t", "s", "y", "c", "trace")
    made = {name: torch.where(rows, getattr(one, name), getattr(other, name)) for name in names}
    guess = torch.where(rows[..., None], one.guess, other.guess)
    return Place(guess=guess, rates=_chosen_rates(rows, one.rates, other.rates), **made)


def _chosen_rates(rows: Tensor, one: CorrectionRates, other: CorrectionRates) -> CorrectionRates:
    made = {name: torch.where(rows, getattr(one, name), getattr(other, name)) for name in ("tau", "known", "measured")}
    return CorrectionRates(r=torch.where(rows[..., None], one.r, other.r), **made)


@frozen(kw_only=True)
class ExpertsFamily(ExpertsOptions):
    """Nothing is trained; what is stored are the shards' Gaussians, where the options need them."""

    def tasks(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> Mapping[str, TrainTask]:
        """No networks to train."""
        return {}

    def check(self, shards: Sequence[Shard]) -> None:
        """Raises DataError where the Gaussians cannot be had; reads no items."""
        if self.needs_moments:
            check_shards(self, shards, "router experts")

    def tensors(self, shards: Sequence[Shard], trained: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """Those of the router ``moments``, or none. Raises DataError as ``check`` does."""
        return gaussian_tensors(self, shards, "router experts") if self.needs_moments else {}

    def load(self, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> ExpertsRouter:
        """The router with the fractions of ``config``."""
        gaussians = gaussians_of_tensors(tensors) if self.needs_moments else None
        return ExpertsRouter(
            log_pi=log_prior(config.fractions),
            gaussians=gaussians,
            schedule=schedule,
            options=self,
            cells=None if gaussians is None else class_gaussians(tensors, gaussians),
            by_class=class_prior(config),
        )
