"""sum-up: one expert a step, chosen so that the experts' turns follow the sum of their weights.

Sum-up rounding (Sager, Bock & Diehl 2012): d += a; k = argmax d; d_k -= 1. The accumulated difference between the
weights and the choices stays bounded, so the error of the trajectory is O(h) (docs/theory), where drawing experts at
random gives the square root of h.
"""

from __future__ import annotations

from attrs import define, frozen
from torch import Tensor

from mixvel_core.protocols import Draws, Evaluations, NoiseSchedule, Prior
from mixvel_selectors.single import one_hot, taken_whole


@define(kw_only=True)
class _State:
    owed: Tensor | None = None


@frozen(kw_only=True)
class SumUp:
    """M = m_k of the expert that is owed most. Deterministic; costs 1 evaluation."""

    def start(self, x: Tensor, schedule: NoiseSchedule, prior: Prior | None, draws: Draws) -> _State:
        """Nobody is owed anything."""
        return _State()

    def select(self, x: Tensor, t: float, a: Tensor, state: _State) -> tuple[Tensor, _State]:
        """The expert with the largest debt, which is then paid."""
        owed = a if state.owed is None else state.owed + a
        mask = one_hot(owed.argmax(1), a)
        state.owed = owed - mask.to(a)
        return mask, state

    def combine(self, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: _State) -> tuple[Tensor, _State]:
        """Its answer."""
        return taken_whole(a, answers), state
