"""switching: the paper's random draw with its variance reduced by memory and importance; one expert a step.

    q_k = (1 - e) a_k age_k^p / sum_j a_j age_j^p + e a_k,    k ~ q
    M   = sum_j a_j m^_j + (a_k / q_k) (m_k - m^_k)

with m^ the extrapolated denoisers (``memory``). Given the memory M is unbiased for sum_j a_j m_j, as the paper's draw
is, which is the case m^ = 0 and q = a (``memory=False``, the selector ``iid``). Its noise is that of what the memory
missed, which goes to zero with the step. A rare expert, drawn for its age, does not enter with weight 1. Control
variates from a table are SAGA's (Defazio et al. 2014).

Multistep integrators extrapolate the smooth part, sum_j a_j (m_j where evaluated, else m^_j); the rest of the
correction, a_k (1 / q_k - 1) (m_k - m^_k), enters its own step only.
"""

from __future__ import annotations

import torch
from attrs import define, frozen
from torch import Tensor

from mixvel_core.field.mixture import weighted_sum
from mixvel_core.protocols import Draws, Evaluations, NoiseSchedule, Prior
from mixvel_selectors.memory import Memory, at_samples, empty_memory, unguessed
from mixvel_selectors.selectors import categorical, one_hot


@define(kw_only=True, eq=False)
class _State:
    x: Tensor
    schedule: NoiseSchedule
    prior: Prior | None
    draws: Draws
    call: int = 0
    memory: Memory | None = None
    q: Tensor | None = None
    jump: Tensor | None = None


@frozen(kw_only=True)
class Switching:
    """One expert drawn at every evaluation. ``importance``: p. ``mixing``: e in (0, 1].

    ``memory``: False forgets every answer; without ages and guesses q = a and M = m_k, which is ``iid`` bit for bit.
    """

    memory: bool = True
    importance: float = 1.0
    mixing: float = 0.3

    def start(self, x: Tensor, schedule: NoiseSchedule, prior: Prior | None, draws: Draws) -> _State:
        """An empty state: the number of experts is known at the first step."""
        return _State(x=x, schedule=schedule, prior=prior, draws=draws)

    def select(self, x: Tensor, t: float, a: Tensor, state: _State) -> tuple[Tensor, _State]:
        """A draw from q, (B, K) bool; where there is no prior guess, every expert once."""
        if not self.memory:
            choice = categorical(a, state.draws.uniform(state.call))
            state.call += 1
            return one_hot(choice, a), state
        if state.memory is None:
            state.memory = empty_memory(x, state.schedule, state.prior, a.shape[1], carried=1.0)
            first = unguessed(a, state.prior)
            if first is not None:
                return first, state
        weights = a.double() / a.double().sum(1, keepdim=True)
        age = state.memory.age(t).clamp_min(0.0)
        oldest = age.masked_fill(weights == 0, 0.0).amax(1, keepdim=True)
        # In units of the oldest that may be drawn: powers of ages themselves underflow, and overflow above 1.
        aged = weights * (age / oldest).clamp(0.0, 1.0) ** self.importance
        mixed = (1.0 - self.mixing) * aged / aged.sum(1, keepdim=True) + self.mixing * weights
        # Where all ages are zero, at the start and in a second stage, the draw follows a.
        state.q = torch.where(oldest > 0, mixed, weights)
        choice = categorical(state.q, state.draws.uniform(state.call))
        state.call += 1
        return one_hot(choice, a), state

    def combine(self, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: _State) -> tuple[Tensor, _State]:
        """M, (B, *data), its smooth part and its jump together."""
        if not self.memory:
            return weighted_sum(torch.ones_like(a), answers), state
        if state.memory is None:
            raise RuntimeError("select comes before combine")
        i, k = answers.sample, answers.expert
        missed = state.memory.store(x.flatten(1), t, answers)
        M = state.memory.mixture(x, t, a, answers)
        state.jump = None
        if state.q is not None:
            state.jump = at_samples(x, i, a.double()[i, k] * (1.0 / state.q[i, k] - 1.0), missed)
            M = M + state.jump
        return M, state

    def jump(self, state: _State) -> Tensor | None:
        """The part of the last M that enters its own step only, (B, *data); None for zero."""
        return state.jump
