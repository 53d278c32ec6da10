"""iid: one expert drawn from the posterior, anew at every evaluation; the paper's."""

from __future__ import annotations

from attrs import define, frozen
from torch import Tensor

from mixvel_core.protocols import Draws, Evaluations, NoiseSchedule, Prior
from mixvel_selectors.single import categorical, one_hot, taken_whole


@define(kw_only=True)
class _State:
    draws: Draws
    call: int = 0


@frozen(kw_only=True)
class Iid:
    """k ~ Categorical(a), M = m_k: unbiased for the mixture at every step. Costs 1 evaluation."""

    def start(self, x: Tensor, schedule: NoiseSchedule, prior: Prior | None, draws: Draws) -> _State:
        """Counts its draws."""
        return _State(draws=draws)

    def select(self, x: Tensor, t: float, a: Tensor, state: _State) -> tuple[Tensor, _State]:
        """A new draw."""
        choice = categorical(a, state.draws.uniform(state.call))
        state.call += 1
        return one_hot(choice, a), state

    def combine(self, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: _State) -> tuple[Tensor, _State]:
        """The drawn expert's answer."""
        return taken_whole(a, answers), state
