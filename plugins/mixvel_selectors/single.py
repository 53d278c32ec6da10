"""Selectors of one expert a step: fixed, iid (the paper's draw) and sum-up.

Sum-up rounding (Sager, Bock & Diehl 2012): d += a; k = argmax d; d_k -= 1. The accumulated difference between the
weights and the choices stays bounded, so the error of the trajectory is O(h) (docs/theory), where drawing experts at
random gives the square root of h.
"""

from __future__ import annotations

import torch
from attrs import define, frozen
from torch import Tensor

from mixvel_core.field.mixture import weighted_sum
from mixvel_core.protocols import Draws, Evaluations, NoiseSchedule, Prior


def one_hot(choice: Tensor, a: Tensor) -> Tensor:
    """The mask, (B, K), of one chosen expert per sample, ``choice`` (B,)."""
    return torch.zeros_like(a, dtype=torch.bool).scatter_(1, choice[:, None], True)


def unweighted(a: Tensor, answers: Evaluations) -> Tensor:
    """M is the answer of the one expert that was asked: weight 1, not a_k."""
    return weighted_sum(torch.ones_like(a), answers)


def categorical(a: Tensor, u: Tensor) -> Tensor:
    """k ~ Categorical(a) by inversion of the cumulative sum, (B,); u uniform in (0, 1), (B,)."""
    cumulative = a.double().cumsum(1)
    # Compared with u times the sum: rows that sum to 1 only up to rounding still choose a valid k.
    passed = (cumulative < u.to(cumulative)[:, None] * cumulative[:, -1:]).sum(1)
    return passed.clamp_max(a.shape[1] - 1)


@define(kw_only=True)
class _FixedState:
    draws: Draws
    choice: Tensor | None = None


@frozen(kw_only=True)
class Fixed:
    """k is drawn from the first weights seen, which at t = 1 are pi, and kept. Costs 1 evaluation.

    With good experts its samples follow the data: it draws a shard, then a sample of that shard. It is not the
    mixture's flow, and an expert is asked about points far from its own shard's noisy data.
    """

    def start(self, x: Tensor, schedule: NoiseSchedule, prior: Prior | None, draws: Draws) -> _FixedState:
        """Nothing chosen yet."""
        return _FixedState(draws=draws)

    def select(self, x: Tensor, t: float, a: Tensor, state: _FixedState) -> tuple[Tensor, _FixedState]:
        """The expert of the first draw."""
        if state.choice is None:
            state.choice = categorical(a, state.draws.uniform(0))
        return one_hot(state.choice, a), state

    def combine(
        self, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: _FixedState
    ) -> tuple[Tensor, _FixedState]:
        """Its answer."""
        return unweighted(a, answers), state


@define(kw_only=True)
class _IidState:
    draws: Draws
    call: int = 0


@frozen(kw_only=True)
class Iid:
    """k ~ Categorical(a), M = m_k: unbiased for the mixture at every step. Costs 1 evaluation."""

    def start(self, x: Tensor, schedule: NoiseSchedule, prior: Prior | None, draws: Draws) -> _IidState:
        """Counts its draws."""
        return _IidState(draws=draws)

    def select(self, x: Tensor, t: float, a: Tensor, state: _IidState) -> tuple[Tensor, _IidState]:
        """A new draw."""
        choice = categorical(a, state.draws.uniform(state.call))
        state.call += 1
        return one_hot(choice, a), state

    def combine(
        self, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: _IidState
    ) -> tuple[Tensor, _IidState]:
        """The drawn expert's answer."""
        return unweighted(a, answers), state


@define(kw_only=True)
class _SumUpState:
    owed: Tensor | None = None


@frozen(kw_only=True)
class SumUp:
    """M = m_k of the expert that is owed most. Deterministic; costs 1 evaluation."""

    def start(self, x: Tensor, schedule: NoiseSchedule, prior: Prior | None, draws: Draws) -> _SumUpState:
        """Nobody is owed anything."""
        return _SumUpState()

    def select(self, x: Tensor, t: float, a: Tensor, state: _SumUpState) -> tuple[Tensor, _SumUpState]:
        """The expert with the largest debt, which is then paid."""
        owed = a if state.owed is None else state.owed + a
        mask = one_hot(owed.argmax(1), a)
        state.owed = owed - mask.to(a)
        return mask, state

    def combine(
        self, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: _SumUpState
    ) -> tuple[Tensor, _SumUpState]:
        """Its answer."""
        return unweighted(a, answers), state
