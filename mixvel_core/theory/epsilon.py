"""The epsilon of the bounds, measured: how far experts and router are from the exact ones (Lemma 2).

The paper assumes sup norms: abs(a^_k - a_k) <= ec and norm(m^_k - m_k) <= er for all x, t and k. Training makes mean
squares small, under the law of the noised data. Both are told: a supremum over finitely many points is a lower bound of
the paper's, and the RMS is what training can be held to.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.protocols import Expert, Router
from mixvel_core.sampling.weights import WeightTransform
from mixvel_core.theory.exact import Exact


@frozen(kw_only=True)
class Epsilon:
    """At points of some times. ``er_sup``: the largest ||m^_k - m_k|| over points and k. ``er_rms``: the root of
    E sum_k a_k ||m^_k - m_k||^2, so that each expert answers for its own shard's noised data, as in its training.
    ``ec_sup``, ``ec_rms``: of abs(a^_k - a_k), the latter over points and k; None for a router with a state, which only
    exists along trajectories. ``count``: points.
    """

    er_sup: float
    er_rms: float
    ec_sup: float | None
    ec_rms: float | None
    count: int


@torch.no_grad()
def epsilon(
    exact: Exact, experts: Sequence[Expert], router: Router, weights: WeightTransform, x: Tensor, t: Tensor
) -> Epsilon:
    """Experts and router beside the exact ones.

    Args:
        exact: the exact mixture.
        experts: K of them.
        router: theirs.
        weights: what is done to its weights before they are used.
        x: noised points, (B, *data), B >= 1.
        t: their times, (B,).
    """
    a, m_k = exact.parts(x, t)
    # One after the other: experts may not fit into memory together.
    er = torch.stack([(e.denoise(x, t) - m_k[:, k]).flatten(1).norm(dim=1) for k, e in enumerate(experts)], dim=1)
    ec = None
    if router.start(x, t) is None:
        ec = (weights(router.weights(x, t, None)[0].to(a)) - a).abs()
    return Epsilon(
        er_sup=float(er.max()),
        er_rms=float((a * er**2).sum(1).mean().sqrt()),
        ec_sup=None if ec is None else float(ec.max()),
        ec_rms=None if ec is None else float((ec**2).mean().sqrt()),
        count=len(x),
    )
