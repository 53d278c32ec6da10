"""A posterior that is integrated along the sampling trajectory instead of being asked for at each point."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from attrs import frozen
from torch import Tensor

from mixvel_routers.simplex import to_simplex

if TYPE_CHECKING:
    from mixvel_core.types import Points, Times, Weights


@frozen(kw_only=True, eq=False)
class Along:
    """Where a trajectory stands: the posterior ``a`` and its rate ``da``, (B, K), at time ``t``, (B, 1).

    The step that led there began at ``from_a``, ``from_da``, ``from_t``.
    """

    a: Tensor
    da: Tensor
    t: Tensor
    from_a: Tensor
    from_da: Tensor
    from_t: Tensor


@frozen(kw_only=True, eq=False)
class IntegratedRouter:
    """a starts at pi, ``fractions``, which is the posterior where alpha = 0, and follows ``rate`` (P2, material).

    Its steps are the sampler's own. A call at an earlier time s makes an Euler step there, a_n + (s - t_n) da_n.
    Another call at the same s, which a sampler with two stages makes once its own step is corrected, replaces that by
    Heun's, a_n + (s - t_n) (da_n + da) / 2 with da of the call before. After each step a is projected to the simplex.
    """

    rate: Callable[[Tensor, Tensor], Tensor]
    fractions: tuple[float, ...]

    def start(self, x: Points, t: Times) -> Along:
        """pi at the time of the start, which is to be t = 1: anywhere else pi is not the posterior."""
        pi = torch.tensor(self.fractions, dtype=torch.float64)
        a = (pi / pi.sum()).to(x).expand(len(x), -1)
        da, now = torch.zeros_like(a), t.to(x.dtype)[:, None]
        return Along(a=a, da=da, t=now, from_a=a, from_da=da, from_t=now)

    def weights(self, x: Points, t: Times, state: Along) -> tuple[Weights, Along]:
        """The posterior after the step to (x, t), (B, K), and the state there; times of rows are their own."""
        now = t.to(x.dtype)[:, None]
        again = now == state.t
        from_a, from_da, from_t = (
            torch.where(again, old, new)
            for old, new in (
                (state.from_a, state.a),
                (state.from_da, state.da),
                (state.from_t, state.t),
            )
        )
        slope = torch.where(again, 0.5 * (from_da + state.da), from_da)
        a = to_simplex(from_a + (now - from_t) * slope)
        return a, Along(a=a, da=self.rate(x, t), t=now, from_a=from_a, from_da=from_da, from_t=from_t)
