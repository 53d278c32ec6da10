"""One shard's part of the posterior (D2), in one pass over its items: online softmax, and sums weighted by it.

Two matrix products a block do all the work, X = y Z^T and p Z. With p_i = exp(g_i - max g) and, up to what all items
share, g_i = (alpha y.z_i - alpha^2 ||z_i||^2 / 2) / s^2, where y = x - alpha c and z_i = x_i - c, the pass keeps
sum p, sum p y.z_i, sum p ||z_i||^2 and sum p z_i: P1 is linear in these, whatever the velocity.

Products in float32 are not enough by themselves: at little noise g is a thousand times its factors, and its rounding
error is no longer small. But then few items have any weight. Those pairs whose error would show in the result, and only
those, are computed again in float64.
"""

from __future__ import annotations

import math

import torch
from attrs import define, frozen
from torch import Tensor

from mixvel_core.field.item_blocks import ItemBlocks

_PAIRS = 1 << 20
"""Numbers gathered at once to compute pairs again."""
_TAIL = 6.0
"""Nats below which many items of little weight together still weigh little."""


@frozen(kw_only=True, eq=False)
class Queries:
    """B points y = x - alpha c, float64, (B, D), and the factors of their exponents.

    ``gain`` = alpha / s^2 and ``fall`` = alpha^2 / (2 s^2), (B, 1) float64. ``dtype``: of the products. ``margin``:
    (B, 1), how far below the best exponent a pair is still computed again in float64; -inf: none is. ``rows``: the most
    items that they meet at once.
    """

    y: Tensor
    gain: Tensor
    fall: Tensor
    dtype: torch.dtype
    margin: Tensor
    rows: int


def margin_of(scattered: Tensor, coherent: Tensor, tolerance: float) -> Tensor:
    """How far below the largest exponent rounding matters, in nats, (B, 1): -inf where no error does.

    A pair m nats below the largest enters the sums with weight e^-m, so its error matters where error e^-m > tolerance;
    errors themselves blur which exponent is the largest.

    Args:
        scattered: typical rounding error of an exponent, in nats, (B, 1): many pairs may have it together.
        coherent: the error of the few pairs whose terms all have one sign, (B, 1).
        tolerance: error of the sums that may remain.
    """
    many = torch.where(scattered > tolerance, (scattered / tolerance).log() + _TAIL, -math.inf)
    few = torch.where(coherent > tolerance, (coherent / tolerance).log() + 1.0, -math.inf)
    return torch.maximum(many, few) + 4.0 * torch.maximum(scattered, coherent)


@define(kw_only=True, eq=False)
class ShardSums:
    """``top``: the largest exponent g, (B, 1). The others are sums of p_i = exp(g_i - top): ``weight`` of 1,
    ``product`` of y.z_i, ``norm`` of ||z_i||^2, (B, 1) float64, and ``vector`` of z_i, (B, D), or None.
    """

    top: Tensor
    weight: Tensor
    product: Tensor
    norm: Tensor
    vector: Tensor | None


def shard_sums(part: ItemBlocks, queries: Queries, means: bool) -> ShardSums:
    """The sums of one shard, in one pass over its items.

    Args:
        part: its items.
        queries: B points.
        means: whether ``vector`` is summed too, which is half of the work.
    """
    y, device = queries.y, queries.y.device
    scaled = (y * part.scale).to(queries.dtype)
    zero = torch.zeros(len(y), 1, dtype=torch.float64, device=device)
    narrow = torch.float64 if queries.dtype == torch.float64 else torch.float32
    sums = ShardSums(
        top=torch.full_like(zero, -math.inf),
        weight=zero,
        product=zero,
        norm=zero,
        vector=torch.zeros(y.shape, dtype=narrow, device=device) if means else None,
    )
    refining = bool((queries.margin > 0).any())
    scratch = part.scratch(scaled, queries.rows)
    for span in part.spans(queries.rows):
        Z = part.vectors(span, scaled, scratch)
        norms = part.norms[slice(*span)].to(device)
        X = (scaled @ Z.T).double()
        g = (queries.gain * X).addcmul_(queries.fall, norms, value=-1.0)
        top = torch.maximum(sums.top, g.amax(1, keepdim=True))
        if refining and _refine(g, X, g >= top - queries.margin, queries, part, span):
            top = torch.maximum(sums.top, g.amax(1, keepdim=True))
        # The exponential stays in float64, which is faster too: vectorized float32 ones stumble over large arguments.
        p = g.sub_(top).exp_()
        shrink = (sums.top - top).exp_()
        sums.top = top
        sums.weight = sums.weight * shrink + p.sum(1, keepdim=True)
        # As products of vectors: a sum of p * X would first fill a table of all pairs.
        sums.product = sums.product * shrink + torch.bmm(p[:, None, :], X[:, :, None])[:, :, 0]
        sums.norm = sums.norm * shrink + (p @ norms)[:, None]
        if sums.vector is not None:
            _add_vectors(sums.vector.mul_(shrink.to(narrow)), p.to(narrow), Z)
    if sums.vector is not None:
        sums.vector = sums.vector.double() * part.scale
    return sums


def _add_vectors(vector: Tensor, p: Tensor, Z: Tensor) -> None:
    """Adds p Z in place; products in bfloat16 are summed in float32."""
    if vector.dtype == Z.dtype:
        vector.addmm_(p, Z)
    else:
        vector.add_(p.to(Z.dtype) @ Z)


def _refine(g: Tensor, X: Tensor, chosen: Tensor, queries: Queries, part: ItemBlocks, span: tuple[int, int]) -> bool:
    """Computes the ``chosen`` pairs of exponents g and products X, (B, rows), again; False where there are none."""
    row, column = chosen.nonzero(as_tuple=True)
    if len(row) == 0:
        return False
    norms = part.norms[slice(*span)].to(X.device)
    if 16 * len(row) > X.numel():
        busy = chosen.any(1).nonzero()[:, 0]
        # So many pairs are gathered more slowly than all pairs of these points are multiplied.
        X[busy] = queries.y[busy] @ part.exact(slice(*span)).to(X.device).T
        g[busy] = queries.gain[busy] * X[busy] - queries.fall[busy] * norms
        return True
    columns, place = torch.unique(column, return_inverse=True)
    Z = part.exact(columns.to(part.norms.device) + span[0]).to(X.device)
    size = max(1, _PAIRS // Z.shape[1])
    pieces = [slice(start, start + size) for start in range(0, len(row), size)]
    products = [(queries.y[row[piece]] * Z[place[piece]]).sum(1) for piece in pieces]
    X[row, column] = torch.cat(products)
    g[row, column] = queries.gain[row, 0] * X[row, column] - queries.fall[row, 0] * norms[column]
    return True
