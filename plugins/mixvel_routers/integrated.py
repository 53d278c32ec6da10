"""A posterior that is integrated along the sampling trajectory by its rate, and projected to the simplex each step."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from attrs import frozen
from torch import Tensor

from mixvel_routers.fixed import prior

if TYPE_CHECKING:
    from mixvel_core.types import Points, Times, Weights


def to_simplex(v: Tensor) -> Tensor:
    """The rows of v, (B, K), moved to the nearest points with entries >= 0 and sum 1, in the Euclidean distance.

    The nearest point is max(v - theta, 0), and theta follows from the sorted entries alone (Held, Wolfe and Crowder
    1974; the form of Duchi et al. 2008).
    """
    u = v.sort(dim=1, descending=True).values
    excess = u.cumsum(1) - 1.0
    place = torch.arange(1, v.shape[1] + 1, device=v.device, dtype=v.dtype)
    last = (u * place > excess).sum(1, keepdim=True).clamp_min(1)
    theta = excess.gather(1, last - 1) / last
    return (v - theta).clamp_min(0.0)


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
        a, t = prior(self.fractions, x), t.to(x.dtype)[:, None]
        da = torch.zeros_like(a)
        return Along(a=a, da=da, t=t, from_a=a, from_da=da, from_t=t)

    def weights(self, x: Points, t: Times, state: Along) -> tuple[Weights, Along]:
        """The posterior after the step to (x, t), (B, K), and the state there; times of rows are their own."""
        s = t.to(x.dtype)[:, None]
        again = s == state.t
        from_a, from_da, from_t = (
            torch.where(again, old, new)
            for old, new in ((state.from_a, state.a), (state.from_da, state.da), (state.from_t, state.t))
        )
        slope = torch.where(again, 0.5 * (from_da + state.da), from_da)
        a = to_simplex(from_a + (s - from_t) * slope)
        return a, Along(a=a, da=self.rate(x, t), t=s, from_a=from_a, from_da=from_da, from_t=from_t)
