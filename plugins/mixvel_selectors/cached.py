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

from mixvel_core.protocols import Draws, Evaluations, NoiseSchedule, Prior
from mixvel_selectors.feedback import Extrapolated, coefficient, none_extrapolated
from mixvel_selectors.memory import Memory, angle, at_samples, empty_memory
from mixvel_selectors.selectors import one_hot
from mixvel_selectors.tolerance import ExtrapolationErrors, no_errors

CARRIED = 0.5
"""Half of an expert's last change is carried on. What grows in proportion to the age is given back in any case, and all
of the change adds its noise: with it the error falls more slowly than the square of the step (docs/sampling.md)."""


@define(kw_only=True, eq=False)
class _State:
    x: Tensor
    schedule: NoiseSchedule
    prior: Prior | None
    memory: Memory | None = None
    extrapolated: Extrapolated = field(init=False)
    c: float | None = None
    jump: Tensor | None = None
    errors: ExtrapolationErrors | None = None


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
            state.memory = empty_memory(x, state.schedule, state.prior, a.shape[1], carried=CARRIED)
            state.extrapolated = none_extrapolated(len(x), a.shape[1], x.device)
            if self.tolerance is not None:
                state.errors = no_errors(len(x), a.shape[1], x.device)
            if state.prior is None:
                # Without moments there is no prior guess: every expert is evaluated once.
                return torch.ones_like(a, dtype=torch.bool), state
        weights, age = a.double(), state.memory.age(t)
        state.extrapolated.c = state.c
        # At the very start, and in a second stage, all ages may be zero: then the likeliest.
        old = ((age > 0) & (weights > 0)).any(1, keepdim=True)
        worth = torch.where(old, state.extrapolated.worth(weights, age), weights).masked_fill(weights == 0, -1.0)
        mask = one_hot(worth.argmax(1), a)
        if state.errors is not None and self.max_experts != 1:
            predicted = state.errors.predicted(weights, age, state.memory.count)
            mask |= self._required(state.errors, predicted, mask, weights)
        return mask, state

    def _required(self, errors: ExtrapolationErrors, predicted: Tensor, mask: Tensor, weights: Tensor) -> Tensor:
        """The experts that the tolerance requires besides those in the mask, as many as may be, (B, K) bool."""
        required = errors.required(self.tolerance, predicted, mask) if self.tolerance else weights > 0.0
        if self.max_experts is None or self.max_experts >= mask.shape[1]:
            return required
        best = predicted.masked_fill(~required, -1.0).topk(self.max_experts - 1, dim=1)
        return torch.zeros_like(mask).scatter_(1, best.indices, best.values >= 0.0)

    def combine(self, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: _State) -> tuple[Tensor, _State]:
        """M of fresh denoisers where there are some and extrapolated ones elsewhere, under fresh weights."""
        memory = state.memory
        if memory is None:
            raise RuntimeError("select comes before combine")
        i, k = answers.sample, answers.expert
        ages, count = memory.age(t), memory.count[i, k]
        missed = memory.store(x.flatten(1), t, answers)
        error = torch.linalg.vector_norm(missed, dim=1).double()
        M = memory.mixture(x, t, a, answers)
        if state.errors is not None:
            state.errors.add(i, k, error, ages[i, k], count)
            state.errors.local.add(angle(state.schedule, t), M.flatten(1))
        given_back = state.extrapolated.given_back(i, k, ages[i, k])
        state.extrapolated.add(a.double(), ages.clamp_min(0.0), i, k, error)
        state.jump = None
        if given_back is not None and self.feedback > 0.0:
            state.jump = at_samples(x, i, self.feedback * given_back, missed)
            M = M + state.jump
        return M, state

    def jump(self, state: _State) -> Tensor | None:
        """The part of the last M that enters its own step only, (B, *data); None for zero."""
        return state.jump
