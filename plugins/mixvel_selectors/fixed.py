"""fixed: one expert drawn at the start and kept to the end."""

from __future__ import annotations

from attrs import define, frozen
from torch import Tensor

from mixvel_core.protocols import Draws, Evaluations, NoiseSchedule, Prior
from mixvel_selectors.single import categorical, one_hot, taken_whole


@define(kw_only=True)
class _State:
    draws: Draws
    choice: Tensor | None = None


@frozen(kw_only=True)
class Fixed:
    """k is drawn from the first weights seen, which at t = 1 are pi, and kept. Costs 1 evaluation.

    With good experts its samples follow the data: it draws a shard, then a sample of that shard. It is not the
    mixture's flow, and an expert is asked about points far from its own shard's noisy data.
    """

    def start(self, x: Tensor, schedule: NoiseSchedule, prior: Prior | None, draws: Draws) -> _State:
        """Nothing chosen yet."""
        return _State(draws=draws)

    def select(self, x: Tensor, t: float, a: Tensor, state: _State) -> tuple[Tensor, _State]:
        """The expert of the first draw."""
        if state.choice is None:
            state.choice = categorical(a, state.draws.uniform(0))
        return one_hot(state.choice, a), state

    def combine(self, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: _State) -> tuple[Tensor, _State]:
        """Its answer."""
        return taken_whole(a, answers), state
