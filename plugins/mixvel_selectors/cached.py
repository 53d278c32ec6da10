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

from collections.abc import Sequence

import torch
from attrs import define, field, frozen
from torch import Tensor

from mixvel_core.protocols import Draws, Evaluations, NoiseSchedule, Prior
from mixvel_selectors.feedback import Extrapolated, coefficient, none_extrapolated
from mixvel_selectors.memory import Memory, angle, at_samples, empty_memory, not_faint, unguessed
from mixvel_selectors.parts import EstimatePart, local_error, total
from mixvel_selectors.selectors import one_hot
from mixvel_selectors.tolerance import ExtrapolationErrors, no_errors, required

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
        first = self._first(x, a, state)
        return self._chosen([_part(t, a, state)]) if first is None else first, state

    def select_both(
        self, x: Tensor, t: float, a: tuple[Tensor, Tensor], w: float, states: tuple[_State, _State]
    ) -> tuple[tuple[Tensor, Tensor], tuple[_State, _State]]:
        """The expert of which w M_c + (1 - w) M_null would miss most, and those that the tolerance requires, for both.

        An expert's two answers are refreshed together: so much of what they miss is common, and cancels. An answer
        without weight is not evaluated; if it is the only one of its estimate, another expert is for that one.
        """
        under_way = any(state.memory is not None for state in states)
        first = [self._first(x, one, state, under_way=under_way) for one, state in zip(a, states, strict=True)]
        parts = _part(t, a[0], states[0], w), _part(t, a[1], states[1], 1.0 - w)
        alone = [self._chosen([part]) if one is None else one for part, one in zip(parts, first, strict=True)]
        if first[0] is not None or first[1] is not None:
            return (alone[0], alone[1]), states
        chosen = self._chosen(parts)
        both = [chosen & (one > 0) for one in a]
        masks = [torch.where(one.any(1, keepdim=True), one, other) for one, other in zip(both, alone, strict=True)]
        return (masks[0], masks[1]), states

    def _first(self, x: Tensor, a: Tensor, state: _State, *, under_way: bool = False) -> Tensor | None:
        """Makes the memory where there is none, and returns whom to evaluate where that has no guess, (B, K) bool.

        ``under_way``: whether the interval of a guidance begins, where guesses from moments have become old.
        """
        if state.memory is not None:
            return None
        state.memory = empty_memory(x, state.schedule, state.prior, a.shape[1], carried=CARRIED)
        state.extrapolated = none_extrapolated(len(x), a.shape[1], x.device)
        state.extrapolated.c = None if state.prior is None else state.c
        if self.tolerance is not None:
            state.errors = no_errors(len(x), a.shape[1], x.device)
        first = unguessed(a, state.prior)
        if first is None and under_way:
            first = not_faint(a)
        return first | (a > 0) if first is not None and self.tolerance == 0.0 else first

    def _chosen(self, parts: Sequence[EstimatePart]) -> Tensor:
        """The experts of which the sum of the parts would miss most, (B, K) bool."""
        weights = total([part.a for part in parts])
        worth = total([part.worth() for part in parts]).masked_fill(weights == 0, -1.0)
        mask = one_hot(worth.argmax(1), weights)
        if self.tolerance is None or self.max_experts == 1:
            return mask
        predicted = total([part.predicted() for part in parts])
        found = required(self.tolerance, predicted, mask, local_error(parts)) if self.tolerance else weights > 0.0
        if self.max_experts is not None and self.max_experts < mask.shape[1]:
            best = predicted.masked_fill(~found, -1.0).topk(self.max_experts - 1, dim=1)
            found = torch.zeros_like(mask).scatter_(1, best.indices, best.values >= 0.0)
        return mask | found

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


def _part(t: float, a: Tensor, state: _State, factor: float = 1.0) -> EstimatePart:
    """An estimate for the choice at t, whose misses enter what is followed times ``factor``, from here on too."""
    if state.memory is None:
        raise RuntimeError("a memory comes before a choice")
    # So what is given back fits the factor of its own step, should that change along the trajectory.
    state.extrapolated.c = None if state.c is None else state.c * (factor or 1.0)
    return EstimatePart(
        a=a.double(),
        age=state.memory.age(t),
        count=state.memory.count,
        factor=factor,
        extrapolated=state.extrapolated,
        errors=state.errors,
    )
