"""iid: one expert drawn from the posterior, anew at every evaluation; the paper's."""

from __future__ import annotations

from attrs import define, frozen
from torch import Tensor

from mixvel_core.protocols import Draws, Evaluations
from mixvel_selectors.single import categorical, one_hot, taken_whole


@define(kw_only=True)
class _State:
    draws: Draws
    call: int = 0


@frozen(kw_only=True)
class Iid:
    """k ~ Categorical(a), M = m_k: unbiased for the mixture at every step. Costs 1 evaluation."""

    def start(self, x: Tensor, means: Tensor | None, draws: Draws) -> _State:
        """Counts its draws."""
        return _State(draws=draws)

    def select(self, a: Tensor, t: float, state: _State) -> tuple[Tensor, _State]:
        """A new draw."""
        choice = categorical(a, state.draws.uniform(state.call))
        state.call += 1
        return one_hot(choice, a), state

    def combine(self, a: Tensor, t: float, answers: Evaluations, state: _State) -> tuple[Tensor, _State]:
        """The drawn expert's answer."""
        return taken_whole(a, answers), state
