"""A mixture whose points and weights are given call by call: it drives a Selector as the sampler does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from attrs import field, frozen
from torch import Tensor

from mixvel_core.field.conversions import at_time, expand
from mixvel_core.field.guess import DiagonalGuess
from mixvel_core.field.mixture import gaussian_denoiser
from mixvel_core.protocols import Evaluations, NoiseSchedule, Prior, SchedulePoint, Selector
from mixvel_core.randomness import normal
from mixvel_core.sampling.draws import SampleDraws
from mixvel_core.testing.problems import Circle

TIMES = (1.0, 0.8, 0.8, 0.55, 0.55, 0.3, 0.1)
"""Some of them twice, as integrators with two stages evaluate."""


@frozen(kw_only=True, eq=False)
class Call:
    """One call of the field: weights ``a``, the ``mask`` as it was when the experts were asked, the estimate ``M``."""

    t: float
    a: Tensor
    mask: Tensor
    M: Tensor


@frozen(kw_only=True, eq=False)
class RowedGuess:
    """``inner`` and a tenth for each trajectory, whose numbers are ``rows``, (B,)."""

    inner: DiagonalGuess
    rows: Tensor

    def weighted(self, x: Tensor, p: SchedulePoint, weights: Tensor) -> Tensor:
        """sum_k weights_k g_k(x), (B, D)."""
        return self.inner.weighted(x, p, weights) + 0.1 * (self.rows.to(x) * weights.sum(1))[:, None]

    def of(self, x: Tensor, p: SchedulePoint, expert: Tensor, sample: Tensor) -> Tensor:
        """g_k(x) of one shard for each point, (E, D)."""
        return self.inner.of(x, p, expert, sample) + 0.1 * self.rows.to(x)[sample, None]


@frozen(kw_only=True, eq=False)
class DrivenMixture:
    """K Gaussian experts, (K, *data) each, and weights that change along B trajectories.

    ``constant``: all experts answer their mean, which then should be the same. ``corners``: the weights are
    all on one expert at a time. ``shared``: whether selectors receive the experts' moments. ``by_row``: with a guess
    that is another for each trajectory, as under conditions.
    """

    shape: tuple[int, ...] = (3,)
    experts: int = 4
    batch: int = 5
    constant: bool = False
    corners: bool = False
    shared: bool = True
    by_row: bool = False
    dtype: torch.dtype = torch.float64
    seed: int = 0
    schedule: NoiseSchedule = field(factory=Circle)

    @property
    def mean(self) -> Tensor:
        """One for each expert, (K, *data)."""
        return self._normal(1, 1 if self.constant else self.experts).expand(self.experts, *self.shape).clone()

    @property
    def variance(self) -> Tensor:
        """One for each expert, (K, *data)."""
        found = 0.1 + 0.2 * self._normal(2, self.experts).sigmoid()
        return torch.zeros_like(found) if self.constant else found

    def points(self, call: int) -> Tensor:
        """x at the call, (B, *data): it moves on with the time, not with what is answered."""
        return self._normal(3, self.batch) + 0.3 * (1 - TIMES[call]) * self._normal(4, self.batch)

    def weights(self, call: int) -> Tensor:
        """a at the call, (B, K), smooth in time."""
        u = normal(5, torch.arange(self.batch), (2, self.experts), self.dtype)
        a = (1.5 * u[:, 0] + (1 - TIMES[call]) * u[:, 1]).softmax(1)
        return torch.nn.functional.one_hot(a.argmax(1), self.experts).to(a) if self.corners else a

    def answers(self, mask: Tensor, x: Tensor, t: float, moved: int | None = None) -> Evaluations:
        """What the experts of a mask answer; all answers of the expert ``moved`` are larger by 1."""
        k, sample = mask.T.nonzero(as_tuple=True)
        m = gaussian_denoiser(x[sample], at_time(self.schedule, t), self.mean[k], self.variance[k])
        if moved is not None:
            m = m + expand((k == moved).to(m), m)
        return Evaluations(sample=sample, expert=k, m=m)

    def start(self, selector: Selector, index: Tensor | None = None) -> Any:
        """The selector's state at the beginning of the trajectories ``index``, or of all."""
        rows = torch.arange(self.batch) if index is None else index
        guess = RowedGuess(inner=self._guess(), rows=rows) if self.by_row else None
        prior = Prior(mean=self.mean, variance=self.variance, guess=guess) if self.shared else None
        return selector.start(self.points(0)[rows], self.schedule, prior, SampleDraws(seed=3, index=rows))

    def drive(
        self, selector: Selector, rows: Tensor | None = None, calls: int = len(TIMES), moved: int | None = None
    ) -> Iterator[Call]:
        """The first ``calls`` calls of the trajectories ``rows``; in the last, the expert ``moved`` answers 1 more."""
        state = self.start(selector, rows)
        for n, t in enumerate(TIMES[:calls]):
            x, a = self.points(n), self.weights(n)
            if rows is not None:
                x, a = x[rows], a[rows]
            mask, state = selector.select(x, t, a, state)
            answers, asked = self.answers(mask, x, t, moved if n == calls - 1 else None), mask.clone()
            M, state = selector.combine(x, t, a, answers, state)
            yield Call(t=t, a=a, mask=asked, M=M)

    def _guess(self) -> DiagonalGuess:
        return DiagonalGuess(mean=self.mean.flatten(1), variance=self.variance.flatten(1))

    def _normal(self, key: int, count: int) -> Tensor:
        return normal(100 * self.seed + key, torch.arange(count), self.shape, self.dtype)
