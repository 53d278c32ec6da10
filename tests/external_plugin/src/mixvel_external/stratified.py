"""stratified: one expert a step from the posterior, by a sequence that covers (0, 1) evenly for each sample."""

from __future__ import annotations

import torch
from attrs import define, frozen
from torch import Tensor

from mixvel_core.field.mixture import weighted_sum
from mixvel_core.protocols import Draws, Evaluations, NoiseSchedule, Prior

GOLDEN = 0.6180339887498949
"""Multiples of the golden ratio, modulo 1, leave the smallest gaps of all such sequences."""


@define(kw_only=True, eq=False)
class State:
    """``first``: a uniform number for each sample, (B,). ``calls``: how many choices were made."""

    first: Tensor
    calls: int = 0


@frozen(kw_only=True)
class Stratified:
    """k by inversion of the cumulative weights at frac(u + n golden), M = m_k. Costs 1 evaluation."""

    def start(self, x: Tensor, schedule: NoiseSchedule, prior: Prior | None, draws: Draws) -> State:
        """Where each sample's sequence begins."""
        return State(first=draws.uniform(0))

    def select(self, x: Tensor, t: float, a: Tensor, state: State) -> tuple[Tensor, State]:
        """The next of the sequence."""
        u = (state.first + GOLDEN * state.calls) % 1.0
        state.calls += 1
        cumulative = a.double().cumsum(1)
        passed = (cumulative < u[:, None] * cumulative[:, -1:]).sum(1).clamp_max(a.shape[1] - 1)
        return torch.zeros_like(a, dtype=torch.bool).scatter_(1, passed[:, None], True), state

    def combine(self, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: State) -> tuple[Tensor, State]:
        """The chosen expert's answer."""
        return weighted_sum(torch.ones_like(a), answers), state
