"""What is done to the router's weights a(x, t) before any selector sees them."""

from __future__ import annotations

import torch
from attrs import frozen
from torch import Tensor


@frozen(kw_only=True)
class WeightTransform:
    """Sharper, flatter or truncated weights w of a at times t <= ``from_``; above it w = a.

    In this order, each followed by a division by the sum:

        temperature T    w_k = a_k^(1/T)
        floor f          w_k = 0 where w_k < f; the likeliest expert stays
        top k            w_k = 0 but for the k largest
        soft s           the point of the simplex that is nearest to c w, c = 1 + (s - 1) (1 - t / from)

    The first is continuous in a. ``floor`` and ``top`` are not: an expert enters with the weight at which it was cut
    off. ``soft`` is: it lowers all c w by the same number and cuts off at zero. So weights reach zero continuously, in
    x and in t, and differences of weights grow by c at most (the projection is 1-Lipschitz). An expert that leads
    each other by 1 / c has all the weight. A rule that never keeps more than k < K experts and treats all alike cannot
    be continuous where all weights are equal; this one keeps more there.

    Near t = 1 the weights are about pi, and what truncation takes from the rarer shards their samples lack in the end.
    Below the time where shards have parted it takes little from anybody.

    ``temperature`` > 0. ``floor`` in [0, 1). ``top`` >= 1; None for all, as from K on. ``soft`` >= 1. ``from_`` in
    (0, 1].

    The projection (of w itself it is w): Held, Wolfe & Crowder 1974; as a layer of networks, sparsemax, Martins &
    Astudillo 2016.
    """

    temperature: float = 1.0
    floor: float = 0.0
    top: int | None = None
    soft: float = 1.0
    from_: float = 1.0

    def __call__(self, a: Tensor, t: Tensor) -> Tensor:
        """The weights to select by, (B, K), rows on the simplex; the same tensor where nothing is to be done.

        Args:
            a: weights of a router, (B, K), rows on the simplex.
            t: their times, (B,).
        """
        w = a
        if self.temperature != 1.0:
            # Of the logarithm: powers of small weights underflow. Relative to the largest: 0 stays 0, however sharp.
            likely = a.double().log()
            w = ((likely - likely.amax(1, keepdim=True)) / self.temperature).softmax(1).to(a.dtype)
        if self.floor > 0.0:
            kept = w.masked_fill((w < self.floor) & (w < w.amax(1, keepdim=True)), 0.0)
            w = kept / kept.sum(1, keepdim=True)
        if self.top is not None and self.top < a.shape[1]:
            best = w.topk(self.top, dim=1)
            kept = torch.zeros_like(w).scatter_(1, best.indices, best.values)
            w = kept / kept.sum(1, keepdim=True)
        if self.soft != 1.0:
            c = 1.0 + (self.soft - 1.0) * (1.0 - t.to(w) / self.from_).clamp_min(0.0)
            # c w has a sum of at least 1, so nothing that is zero comes back; rounding would bring back 1e-17.
            w = nearest_on_simplex(c[:, None] * w).masked_fill(w == 0.0, 0.0)
        if w is a or self.from_ == 1.0:
            return w
        return torch.where((t <= self.from_)[:, None], w, a)


AS_THEY_ARE = WeightTransform()
"""Weights as the router gives them."""


def nearest_on_simplex(y: Tensor) -> Tensor:
    """argmin of ||w - y|| over weights w of sum 1: w_k = max(y_k - tau, 0), with tau such that the sum is 1.

    Args:
        y: (B, K).

    Returns:
        w, (B, K).
    """
    ordered = y.sort(dim=1, descending=True).values
    counts = torch.arange(1, y.shape[1] + 1, device=y.device, dtype=y.dtype)
    # tau if the j largest are above it, which they are as long as the j-th is.
    tau = (ordered.cumsum(1) - 1.0) / counts
    above = (ordered > tau).sum(1, keepdim=True).clamp_min(1)
    w = (y - tau.gather(1, above - 1)).clamp_min(0.0)
    return w / w.sum(1, keepdim=True)
