"""cached: one expert a step, the others extrapolated; near the accuracy of all K at the cost of one.

    M = sum_k a_k m^_k + jump,    m^_k = m_k where expert k is evaluated, else extrapolated (``memory``, in the angle)

The weights a are fresh at every step. **Error feedback**: when an expert is evaluated it is known what the steps before
lacked by its extrapolation, and jump gives ``feedback`` times that back (``feedback``), in its own step only. The
expert that is evaluated is the one by which the state would otherwise miss most.

With a tolerance more are evaluated: as many as it takes for the error of the extrapolated ones, predicted from their
errors so far, to stay below a part of the integrator's own.

Stale gradients kept in a table are the idea of SAG and SAGA (Schmidt et al. 2017; Defazio et al. 2014), the
extrapolation that of multistep methods, the prior guess a control variate, error feedback that of compressed gradients
(Seide et al. 2014; Karimireddy et al. 2019).
"""

from __future__ import annotations

import torch
from attrs import define, field, frozen
from torch import Tensor

from mixvel_core.field.mixture import weighted_sum
from mixvel_core.protocols import Draws, Evaluations, NoiseSchedule, Prior
from mixvel_selectors.feedback import DECAY, Extrapolated, coefficient, none_extrapolated
from mixvel_selectors.memory import LocalError, Memory, empty_memory
from mixvel_selectors.selectors import one_hot


@define(kw_only=True, eq=False)
class _State:
    x: Tensor
    schedule: NoiseSchedule
    prior: Prior | None
    memory: Memory | None = None
    extrapolated: Extrapolated = field(init=False)
    c: float | None = None
    jump: Tensor | None = None
    rate: Tensor = field(init=False)
    first_error: Tensor = field(init=False)
    first_age: Tensor = field(init=False)
    local: LocalError = field(factory=LocalError)


@frozen(kw_only=True)
class Cached:
    """M = sum_k a_k m^_k + jump. Costs 1 evaluation, or with a ``tolerance`` between 1 and ``max_experts``.

    ``feedback``: how much of what earlier steps lacked is given back when an expert is evaluated, 1 for all of it.
    ``tolerance``: the error of the extrapolated experts, as a part of the integrator's local error; 0 evaluates all of
    them, None one expert a step. ``max_experts``: the most evaluated in a step; None for all.
    """

    feedback: float = 1.0
    tolerance: float | None = None
    max_experts: int | None = None

    def start(self, x: Tensor, schedule: NoiseSchedule, prior: Prior | None, draws: Draws) -> _State:
        """An empty state: the number of experts is known at the first step."""
        return _State(x=x, schedule=schedule, prior=prior)

    def begin_step(self, t: float, s: float, state: _State) -> None:
        """c of the step from t to s, by which an estimate of this step enters x/sigma (S1)."""
        state.c = coefficient(state.schedule, t, s)

    def select(self, x: Tensor, t: float, a: Tensor, state: _State) -> tuple[Tensor, _State]:
        """The expert whose miss would be largest, and those that the tolerance requires, (B, K) bool."""
        if state.memory is None:
            state.memory = empty_memory(x, state.schedule, state.prior, a.shape[1])
            state.extrapolated = none_extrapolated(len(x), a.shape[1], x.device)
            state.rate = torch.zeros_like(state.memory.last_angle)
            state.first_error = state.rate.new_zeros(len(x))
            state.first_age = state.rate.new_zeros(len(x))
            if state.prior is None:
                # Without moments there is no prior guess: every expert is evaluated once.
                return torch.ones_like(a, dtype=torch.bool), state
        weights, age = a.double(), state.memory.age(t)
        state.extrapolated.c = state.c
        # At the very start, and in a second stage, all ages may be zero: then the likeliest.
        old = ((age > 0) & (weights > 0)).any(1, keepdim=True)
        worth = torch.where(old, state.extrapolated.worth(weights, age), weights).masked_fill(weights == 0, -1.0)
        mask = one_hot(worth.argmax(1), a)
        if self.tolerance is not None and (self.max_experts is None or self.max_experts > 1):
            mask |= self._within_tolerance(self.tolerance, weights, age, mask, state, state.memory)
        return mask, state

    def _within_tolerance(
        self, tolerance: float, weights: Tensor, age: Tensor, mask: Tensor, state: _State, memory: Memory
    ) -> Tensor:
        """The experts without which the error of the extrapolated ones would exceed the tolerance, (B, K) bool."""
        predicted = _predicted(weights, age, state, memory)
        if tolerance == 0.0:
            wanted = weights > 0.0
        else:
            allowed = state.local.size()
            if allowed is None:
                return mask
            ordered, index = predicted.masked_fill(mask, 0.0).sort(dim=1, descending=True)
            # Errors of different experts point in unrelated directions: they add up as squares. An expert is evaluated
            # if without it and all smaller ones too much would be left.
            left = (ordered**2).flip(1).cumsum(1).flip(1).sqrt()
            wanted = torch.zeros_like(mask).scatter_(1, index, left > tolerance * allowed[:, None])
        if self.max_experts is not None and self.max_experts < mask.shape[1]:
            ranked = predicted.masked_fill(~wanted, -1.0)
            best = ranked.topk(self.max_experts - 1, dim=1)
            wanted = torch.zeros_like(mask).scatter_(1, best.indices, best.values >= 0.0)
        return wanted

    def combine(self, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: _State) -> tuple[Tensor, _State]:
        """M of fresh denoisers where there are some and extrapolated ones elsewhere, under fresh weights."""
        memory = state.memory
        if memory is None:
            raise RuntimeError("select comes before combine")
        i, k = answers.sample, answers.expert
        ages, count = memory.age(t), memory.count[i, k]
        flat = x.flatten(1)
        missed = memory.store(flat, t, answers)
        error = torch.linalg.vector_norm(missed, dim=1).double()
        self._measure(state, i, k, error, ages[i, k], count)
        stale = a.clone()
        stale[i, k] = 0.0
        # The fresh part is summed as the full mixture sums it: where nothing is stale they are equal, bit for bit.
        M = weighted_sum(a, answers) + memory.extrapolate(flat, t, stale).reshape(x.shape)
        if self.tolerance is not None:
            state.local.add(t, M.flatten(1))
        given_back = state.extrapolated.given_back(i, k, ages[i, k])
        state.extrapolated.add(a.double(), ages.clamp_min(0.0), i, k, error)
        state.jump = None
        if given_back is not None and self.feedback > 0.0:
            share = (self.feedback * given_back).to(flat)
            state.jump = torch.zeros_like(flat).index_add_(0, i, share[:, None] * missed).reshape(x.shape)
            M = M + state.jump
        return M, state

    def jump(self, state: _State) -> Tensor | None:
        """The part of the last M that enters its own step only, (B, *data); None for zero."""
        return state.jump

    def _measure(self, state: _State, i: Tensor, k: Tensor, error: Tensor, age: Tensor, count: Tensor) -> None:
        """Updates the error rates by errors (E,); a denoiser of age zero has none."""
        old = age > 0
        rate = error / age.clamp_min(1e-12) ** 2
        smoothed = torch.where(count > 1, DECAY * state.rate[i, k] + (1.0 - DECAY) * rate, rate)
        state.rate[i, k] = torch.where(old, smoothed, state.rate[i, k])
        first = old & (count == 0)
        state.first_error.index_add_(0, i, torch.where(first, error, 0.0))
        state.first_age.index_add_(0, i, torch.where(first, age, 0.0))


def _predicted(weights: Tensor, age: Tensor, state: _State, memory: Memory) -> Tensor:
    """The errors p_k = a_k r_k age_k^2, r_k measured before; a_k r age_k for experts that were never evaluated.

    Those have no slope yet, so their prior guess errs like the age; r is the error of that guess per unit of time,
    measured at the experts that were evaluated.
    """
    guess = (state.first_error / state.first_age.clamp_min(1e-12))[:, None] * age
    return weights * torch.where(memory.count == 0, guess, state.rate * age**2)
