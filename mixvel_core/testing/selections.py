"""A mixture with known answers that selectors are driven through, call by call, as the sampler drives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from attrs import evolve, field, frozen
from torch import Tensor

from mixvel_core.field.conversions import at_time
from mixvel_core.field.mixture import gaussian_denoiser
from mixvel_core.protocols import Evaluations, NoiseSchedule, Prior, Selector
from mixvel_core.randomness import normal
from mixvel_core.sampling.sampler import SampleDraws
from mixvel_core.testing.problems import Circle

TIMES = (1.0, 0.8, 0.8, 0.55, 0.55, 0.3, 0.1)
"""Some of them twice, as integrators with two stages ask."""


@frozen(kw_only=True, eq=False)
class Call:
    """One call of the field: weights ``a``, the ``mask``, the answers to it, and the estimate ``M``."""

    t: float
    a: Tensor
    mask: Tensor
    answers: Evaluations
    M: Tensor


Change = Callable[[int, Evaluations], Evaluations]
"""Answers of a call, by its number, into other ones."""


def _as_they_are(call: int, answers: Evaluations) -> Evaluations:
    return answers


@frozen(kw_only=True, eq=False)
class DrivenMixture:
    """K Gaussian experts, (K, *data) each, and weights that change along B trajectories.

    ``constant``: all experts answer their mean, which then should be the same. ``corners``: the weights are
    all on one expert at a time. ``shared``: whether selectors receive the experts' moments.
    """

    shape: tuple[int, ...] = (3,)
    experts: int = 4
    batch: int = 5
    constant: bool = False
    corners: bool = False
    shared: bool = True
    dtype: torch.dtype = torch.float64
    seed: int = 0
    schedule: NoiseSchedule = field(factory=Circle)

    @property
    def mean(self) -> Tensor:
        """One for each expert, (K, *data)."""
        if self.constant:
            one = self._normal(1, 1)
            return one.expand(self.experts, *self.shape).clone()
        return self._normal(1, self.experts)

    @property
    def variance(self) -> Tensor:
        """One for each expert, (K, *data)."""
        if self.constant:
            return torch.zeros(self.experts, *self.shape, dtype=self.dtype)
        return 0.1 + 0.2 * self._normal(2, self.experts).sigmoid()

    def points(self, call: int) -> Tensor:
        """x at the call, (B, *data): it moves on with the time, not with what is answered."""
        return self._normal(3, self.batch) + 0.3 * (1 - TIMES[call]) * self._normal(4, self.batch)

    def weights(self, call: int) -> Tensor:
        """a at the call, (B, K), smooth in time."""
        u = normal(5, torch.arange(self.batch), (2, self.experts), self.dtype)
        a = (1.5 * u[:, 0] + (1 - TIMES[call]) * u[:, 1]).softmax(1)
        if self.corners:
            return torch.nn.functional.one_hot(a.argmax(1), self.experts).to(a)
        return a

    def denoise(self, k: Tensor, x: Tensor, t: float) -> Tensor:
        """m_k(x, t) for experts k, (E,), at points (E, *data)."""
        return gaussian_denoiser(x, at_time(self.schedule, t), self.mean[k], self.variance[k])

    def drive(
        self,
        selector: Selector,
        *,
        rows: Tensor | None = None,
        change: Change = _as_they_are,
        calls: int = len(TIMES),
        seed: int = 3,
    ) -> list[Call]:
        """The first ``calls`` calls of the trajectories ``rows``, with answers as ``change`` makes them."""
        index = torch.arange(self.batch) if rows is None else rows
        draws = SampleDraws(seed=seed, index=index)
        prior = Prior(mean=self.mean, variance=self.variance) if self.shared else None
        state: Any = selector.start(self.points(0)[index], self.schedule, prior, draws)
        found = []
        for n in range(calls):
            call, state = self.call(selector, n, index, state, change)
            found.append(call)
        return found

    def call(
        self, selector: Selector, n: int, index: Tensor, state: Any, change: Change = _as_they_are
    ) -> tuple[Call, Any]:
        """The n-th call for the rows ``index``, and the state after it."""
        t, x, a = TIMES[n], self.points(n)[index], self.weights(n)[index]
        mask, state = selector.select(x, t, a, state)
        expert, sample = mask.T.nonzero(as_tuple=True)
        answers = Evaluations(sample=sample, expert=expert, m=self.denoise(expert, x[sample], t))
        answers = change(n, answers)
        # The mask as it was when the experts were asked.
        asked = mask.clone()
        M, state = selector.combine(x, t, a, answers, state)
        return Call(t=t, a=a, mask=asked, answers=answers, M=M), state

    def only(self) -> DrivenMixture:
        """The same with one expert."""
        return evolve(self, experts=1)

    def _normal(self, key: int, count: int) -> Tensor:
        return normal(100 * self.seed + key, torch.arange(count), self.shape, self.dtype)
