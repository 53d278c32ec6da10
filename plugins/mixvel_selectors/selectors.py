"""Selectors that keep no denoisers: the experts that are evaluated at (x, t) under weights a, and the estimate M.

    mixture     all with a_k > 0                       M = sum_k a_k m_k
    top1, topk  the k largest a_k                      M = sum a_k m_k / sum a_k over these
    nucleus     the fewest whose a_k sum to ``mass``   M = sum a_k m_k / sum a_k over these
    iid         k ~ Categorical(a), the paper's        M = m_k
    fixed       k ~ Categorical(pi) once, and kept     M = m_k
    sum-up      d += a; k = argmax d; d_k -= 1         M = m_k

Sum-up rounding (Sager, Bock & Diehl 2012) keeps the accumulated difference d between the weights and the choices
bounded, so the error of the trajectory is O(h) (docs/theory), where drawing experts at random gives the root of h.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from attrs import define, frozen
from torch import Tensor

from mixvel_core.field.mixture import weighted_sum
from mixvel_core.protocols import Draws, Evaluations, NoiseSchedule, Prior

StateT = TypeVar("StateT")


class _WeightedMean:
    """Keeps no state. M = sum of a_k m_k over the evaluated experts, divided by the sum of their a_k."""

    def start(self, x: Tensor, schedule: NoiseSchedule, prior: Prior | None, draws: Draws) -> None:
        """Returns None: the selector keeps no state."""

    def combine(self, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: None) -> tuple[Tensor, None]:
        """The weighted mean over the selected experts, (B, *data)."""
        selected = torch.zeros_like(a)
        selected[answers.sample, answers.expert] = a[answers.sample, answers.expert]
        return weighted_sum(selected / selected.sum(1, keepdim=True), answers), None


@frozen(kw_only=True)
class Mixture(_WeightedMean):
    """M = sum_k a_k m_k. Costs K evaluations, less those of weight zero, which truncated weights have."""

    def select(self, x: Tensor, t: float, a: Tensor, state: None) -> tuple[Tensor, None]:
        """All experts whose weight is not zero, (B, K) bool."""
        return a > 0.0, None

    def combine(self, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: None) -> tuple[Tensor, None]:
        """The weighted sum of all m_k, (B, *data)."""
        return weighted_sum(a, answers), None


@frozen(kw_only=True)
class TopK(_WeightedMean):
    """M = sum of a_k m_k over the ``k`` largest weights, divided by their sum. Costs at most min(k, K) evaluations."""

    k: int = 1

    def select(self, x: Tensor, t: float, a: Tensor, state: None) -> tuple[Tensor, None]:
        """The k largest weights of each sample, (B, K) bool, but none of zero."""
        best = a.topk(min(self.k, a.shape[1]), dim=1)
        return torch.zeros_like(a, dtype=torch.bool).scatter_(1, best.indices, best.values > 0.0), None


@frozen(kw_only=True)
class Nucleus(_WeightedMean):
    """The smallest set of experts whose weights sum to ``mass`` or more. Costs between 1 and K evaluations."""

    mass: float = 0.99

    def select(self, x: Tensor, t: float, a: Tensor, state: None) -> tuple[Tensor, None]:
        """The likeliest experts of each sample, until they hold ``mass`` of its weight, (B, K) bool."""
        ordered, index = a.sort(dim=1, descending=True, stable=True)
        # An expert is selected if those before it do not hold enough yet; so the first one always is.
        selected = (ordered.cumsum(1) - ordered < self.mass) & (ordered > 0.0)
        selected[:, 0] = True
        return torch.zeros_like(selected).scatter_(1, index, selected), None


class _OneExpert:
    """M is the denoiser of the one expert that is evaluated: weight 1, not a_k."""

    def combine(self, x: Tensor, t: float, a: Tensor, answers: Evaluations, state: StateT) -> tuple[Tensor, StateT]:
        """m_k of the selected expert, (B, *data)."""
        return weighted_sum(torch.ones_like(a), answers), state


@define(kw_only=True)
class _Drawing:
    draws: Draws
    call: int = 0
    choice: Tensor | None = None


@frozen(kw_only=True)
class Iid(_OneExpert):
    """k ~ Categorical(a), M = m_k: unbiased for the mixture at every step. Costs 1 evaluation."""

    def start(self, x: Tensor, schedule: NoiseSchedule, prior: Prior | None, draws: Draws) -> _Drawing:
        """The random numbers of the samples; none is used yet."""
        return _Drawing(draws=draws)

    def select(self, x: Tensor, t: float, a: Tensor, state: _Drawing) -> tuple[Tensor, _Drawing]:
        """A new k of each sample, (B, K) bool."""
        choice = categorical(a, state.draws.uniform(state.call))
        state.call += 1
        return one_hot(choice, a), state


@frozen(kw_only=True)
class Fixed(_OneExpert):
    """k is drawn from the first weights, which at t = 1 are pi, and kept. Costs 1 evaluation.

    With good experts its samples follow the data: it draws a shard, then a sample of that shard. It is not the
    mixture's flow, and an expert is evaluated at points far from its own shard's noisy data. Under guidance k is drawn
    from p(k | c) and kept for both estimates: each sample follows one expert's own guided flow.
    """

    def start(self, x: Tensor, schedule: NoiseSchedule, prior: Prior | None, draws: Draws) -> _Drawing:
        """The random numbers of the samples; no expert is chosen yet."""
        return _Drawing(draws=draws)

    def select(self, x: Tensor, t: float, a: Tensor, state: _Drawing) -> tuple[Tensor, _Drawing]:
        """The k of each sample, (B, K) bool."""
        if state.choice is None:
            state.choice = categorical(a, state.draws.uniform(0))
        return one_hot(state.choice, a), state

    def select_both(
        self, x: Tensor, t: float, a: tuple[Tensor, Tensor], w: float, states: tuple[_Drawing, _Drawing]
    ) -> tuple[tuple[Tensor, Tensor], tuple[_Drawing, _Drawing]]:
        """The k of each sample under the condition, for both, (B, K) bool."""
        mask, state = self.select(x, t, a[0], states[0])
        return (mask, mask), (state, states[1])


@define(kw_only=True)
class _Debt:
    d: Tensor | None = None


@frozen(kw_only=True)
class SumUp(_OneExpert):
    """d += a; k = argmax d; d_k -= 1; M = m_k. Deterministic; costs 1 evaluation."""

    def start(self, x: Tensor, schedule: NoiseSchedule, prior: Prior | None, draws: Draws) -> _Debt:
        """No debt: d = 0."""
        return _Debt()

    def select(self, x: Tensor, t: float, a: Tensor, state: _Debt) -> tuple[Tensor, _Debt]:
        """The expert with the largest debt of each sample, (B, K) bool, which is then paid."""
        d = a if state.d is None else state.d + a
        mask = one_hot(d.argmax(1), a)
        state.d = d - mask.to(a)
        return mask, state


def categorical(a: Tensor, u: Tensor) -> Tensor:
    """k ~ Categorical(a) by inversion of the cumulative sum, (B,); u uniform in (0, 1), (B,)."""
    cumulative = a.double().cumsum(1)
    # Compared with u times the sum: rows that sum to 1 only up to rounding still choose a valid k.
    passed = (cumulative < u.to(cumulative)[:, None] * cumulative[:, -1:]).sum(1)
    return passed.clamp_max(a.shape[1] - 1)


def one_hot(choice: Tensor, a: Tensor) -> Tensor:
    """The mask, (B, K), of one chosen expert per sample, ``choice`` (B,)."""
    return torch.zeros_like(a, dtype=torch.bool).scatter_(1, choice[:, None], True)
