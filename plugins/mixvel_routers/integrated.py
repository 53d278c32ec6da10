"""A posterior that is integrated along the sampling trajectory by its log-rate, and perhaps corrected at each step."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from attrs import frozen
from torch import Tensor

from mixvel_routers.class_prior import ReadsClass
from mixvel_routers.fixed import prior

if TYPE_CHECKING:
    from mixvel_core.types import Points, Times, Weights

LEAST = 1e-4
"""Weights count as this at least where two posteriors are mixed: neither can rule out what the other one sees."""


@frozen(kw_only=True)
class RateAnswer:
    """At one (x, t): ``log_rate``, L with d/dt a_k = a_k (L_k - <a, L>), (B, K), and ``log_a``, a posterior that does
    without the past, (B, K); None where there is none."""

    log_rate: Tensor
    log_a: Tensor | None = None


@frozen(kw_only=True, eq=False)
class Gains:
    """g(t) in [0, 1], constant on n equal parts of [0, 1]: how far a step of length ``step`` goes to the posterior that
    does without the past. Shorter steps go less far: 1 - (1 - g)^(h / step). ``values``: (n,), from data to noise, or
    (B, n), a row for each point.
    """

    values: Tensor
    step: float

    def at(self, t: Tensor, h: Tensor) -> Tensor:
        """The gain of a step of length h that ends at t, (B, 1) each."""
        n = self.values.shape[-1]
        g = self.values.to(t).expand(len(t), n).gather(1, (t * n).long().clamp(0, n - 1))
        return 1.0 - (1.0 - g) ** (h / self.step)


def corrected(log_a: Tensor, other: Tensor, gain: Tensor) -> Tensor:
    """(1 - g) log a + g log b, both floored and scaled to sum 1, (B, K). What a class rules out stays so."""
    mixed = (1.0 - gain) * log_a.exp().clamp_min(LEAST).log() + gain * other.exp().clamp_min(LEAST).log()
    mixed = mixed.masked_fill(log_a == -torch.inf, -torch.inf)
    # Where nothing is corrected nothing is floored.
    return torch.where(gain > 0.0, mixed.log_softmax(1), log_a)


@frozen(kw_only=True, eq=False)
class Along:
    """Where a trajectory stands: log a and its log-rate, (B, K), at time ``t``, (B, 1).

    The step that led there began at ``from_log_a``, ``from_log_rate``, ``from_t``. Rates are None at the start, where
    they are not computed yet.
    """

    log_a: Tensor
    log_rate: Tensor | None
    t: Tensor
    from_log_a: Tensor
    from_log_rate: Tensor | None
    from_t: Tensor


@frozen(kw_only=True, eq=False)
class IntegratedRouter(ReadsClass):
    """log a starts at log pi, ``fractions``, which is the posterior where alpha = 0, and follows ``rate`` (P1).

    Under a class it starts at log p(k | c), and ``rate`` takes the classes, (B,), last.

    Its steps are the sampler's own, by the trapezoid rule: at the end of a step L is known at both ends,

        log a_n = log a_{n-1} + (t_n - t_{n-1}) (L_{n-1} + L_n) / 2,   scaled to sum 1.

    Another call at the same time replaces the one before. With ``gains`` each step is then corrected towards the
    ``log_a`` of ``rate``.
    """

    rate: Callable[..., RateAnswer]
    fractions: tuple[float, ...]
    gains: Gains | None = None

    def start(self, x: Points, t: Times) -> Along:
        """pi, or p(k | c), at the time of the start, which is to be t = 1: anywhere else it is not the posterior."""
        rows = self.prior_rows(x)
        a = prior(self.fractions, x) if rows is None else rows.to(x)
        log_a, t = a.log(), t.to(x.dtype)[:, None]
        return Along(log_a=log_a, log_rate=None, t=t, from_log_a=log_a, from_log_rate=None, from_t=t)

    def weights(self, x: Points, t: Times, state: Along) -> tuple[Weights, Along]:
        """The posterior after the step to (x, t), (B, K), and the state there; times of rows are their own."""
        classes = self.rows_on(x)
        found = self.rate(x, t) if classes is None else self.rate(x, t, classes)
        L, s = found.log_rate, t.to(x.dtype)[:, None]
        again = s == state.t
        from_log_a = torch.where(again, state.from_log_a, state.log_a)
        from_t = torch.where(again, state.from_t, state.t)
        # At the first call the rate at the start of the step is not known, which is a step of no length.
        L_before = L
        if state.log_rate is not None and state.from_log_rate is not None:
            L_before = torch.where(again, state.from_log_rate, state.log_rate)
        log_a = (from_log_a + 0.5 * (s - from_t) * (L_before + L)).log_softmax(1)
        if self.gains is not None and found.log_a is not None:
            log_a = corrected(log_a, found.log_a, self.gains.at(s, from_t - s))
        state = Along(log_a=log_a, log_rate=L, t=s, from_log_a=from_log_a, from_log_rate=L_before, from_t=from_t)
        return log_a.exp(), state
