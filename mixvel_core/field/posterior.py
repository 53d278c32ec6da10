"""The streaming posterior engine: a_k, m_k (D2) and d/dt a_k (P1, P2) of a finite data set in K shards.

One pass over the data in blocks gives all of them; memory is O(B block + block D + B K D), whatever the number of
items. The algebra that makes one pass enough: up to what all items share, P1 is

    l_i = [ (alpha' - 2 alpha r) y.z_i + alpha w.z_i + (alpha^2 r - alpha alpha') ||z_i||^2 ] / s^2,

where r = s'/s, y = x - alpha c, z_i = x_i - c, w = u - alpha' c for any centre c. P2 is made of its mean over each
shard only, and that of the shards' means of y.z_i, ||z_i||^2 and z_i: the velocity u may be chosen after the pass, also
the one that the pass itself finds (``material``).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, TypeAlias

import torch
from attrs import asdict, evolve, field, frozen
from torch import Tensor

from mixvel_core.errors import DataError
from mixvel_core.field.conversions import changed_point
from mixvel_core.field.item_blocks import ItemBlocks, Items, item_blocks, rows_on
from mixvel_core.field.shard_sums import Queries, margin_of, shard_sums
from mixvel_core.protocols import SchedulePoint

Path: TypeAlias = Literal["material", "path", "partial"]
"""Along which path the posterior is differentiated (section 3 of the theory)."""
Products: TypeAlias = Literal["auto", "float64", "float32", "bfloat16"]

_SMALL = 256
"""Dimensions up to which products in float64 cost no more than the exponentials beside them."""
_ROOM = 1 << 25
"""Numbers that the shards' means may take; more queries than that take turns."""
_SCATTERED, _COHERENT = 0.1, 4.0
"""Rounding errors of a product of D terms of either sign, in units of norm times norm times the type's, and of one of
terms of one sign, in units of itself times the type's; measured at D = 3,072, where they were 0.08 and 4."""
_ROUNDING = {torch.float64: 2.0**-53, torch.float32: 2.0**-24, torch.bfloat16: 2.0**-9}


def widened(p: SchedulePoint, bandwidth: float) -> SchedulePoint:
    """The point at which sharp items have the density of items of width b >= 0 at p: s^2 = sigma^2 + (alpha b)^2.

    Their probability flows are the same too.
    """
    if bandwidth == 0.0:
        return p
    s = (p.sigma**2 + (p.alpha * bandwidth) ** 2).sqrt()
    return evolve(p, sigma=s, d_sigma=(p.sigma * p.d_sigma + p.alpha * p.d_alpha * bandwidth**2) / s)


@frozen(kw_only=True, eq=False)
class PosteriorAnswer:
    """The posterior at B points, from one pass.

    ``a``: D2, (B, K), rows on the simplex. ``log_density``: for each shard the log of the mean over its items of
    exp(-||x - alpha x_i||^2 / (2 s^2)), (B, K) float64. ``m_k``: the shards' denoisers, (B, K, *data), or None after a
    pass without means. ``a`` and ``m_k`` have the type of x.
    """

    a: Tensor
    log_density: Tensor
    m_k: Tensor | None
    _point: SchedulePoint = field(alias="point")
    _centre: Tensor = field(alias="centre")
    _weights: Tensor = field(alias="weights")
    _product: Tensor = field(alias="product")
    _norm: Tensor = field(alias="norm")
    _vector: Tensor | None = field(alias="vector")

    @property
    def m(self) -> Tensor:
        """The denoiser of the whole data set (D1), (B, *data). Raises DataError after a pass without means."""
        m_k, vector = self._means()
        m = self._centre + torch.einsum("bk,bkd->bd", self._weights, vector)
        return m.reshape(m_k[:, 0].shape).to(m_k.dtype)

    def rate(self, path: Path = "material", u: Tensor | None = None) -> Tensor:
        """P2: d/dt a_k along a path through x, (B, K), in the type of x; rows sum to zero.

        Args:
            path: ``material``: along the probability flow of the data set, u = v (V1); ``partial``: at fixed x, u = 0;
                ``path``: along the velocity ``u``.
            u: (B, *data), for ``path`` alone; alpha' x_0 + sigma' eps is the velocity of the noising that made x.
        """
        if (path == "path") != (u is not None):
            raise DataError("a velocity u belongs to the path `path`, and to no other")
        p, (_, vector) = self._point, self._means()
        alpha, d_alpha, r = p.alpha, p.d_alpha, p.d_sigma / p.sigma
        if path == "material":
            # w = r y + (alpha' - alpha r) m turns the general form into this one, with nothing left to cancel.
            m = torch.einsum("bk,bkd->bd", self._weights, vector)
            along = torch.einsum("bd,bkd->bk", m, vector)
            mean = (d_alpha - alpha * r) * (self._product - alpha * self._norm + alpha * along)
        else:
            w = -d_alpha * self._centre if u is None else u.flatten(1).double() - d_alpha * self._centre
            along = torch.einsum("bd,bkd->bk", w, vector)
            mean = (d_alpha - 2 * alpha * r) * self._product + alpha * along
            mean = mean + (alpha**2 * r - alpha * d_alpha) * self._norm
        mean = mean / p.sigma**2
        # Counted from the shard with the most weight: then a small rate is no difference of large ones.
        apart = mean - mean.gather(1, self._weights.argmax(1, keepdim=True))
        rate = self._weights * (apart - (self._weights * apart).sum(1, keepdim=True))
        return rate.to(self.a.dtype)

    def _means(self) -> tuple[Tensor, Tensor]:
        if self.m_k is None or self._vector is None:
            raise DataError("the posterior was computed without means; compute it with means=True")
        return self.m_k, self._vector


@frozen(kw_only=True, eq=False)
class PosteriorEngine:
    """The exact posterior of a data set, streamed.

    ``shards``: K arrays or tensors of items (n_k, *data), uint8 or float, perhaps memory-mapped; they are read a block
    at a time, bytes as numbers in [-1, 1] (``to_float``). ``fractions``: pi, (K,); N_k / N if None.
    ``products``: the type of the two matrix products; ``auto`` is float64 for points in float64 and for few dimensions,
    float32 otherwise. Where the type is too coarse for the noise, the pairs that matter are computed again in float64
    until errors are about ``tolerance``; a larger one makes bfloat16 (and float32 products that torch is set to
    make in TF32) as fast as they can be. Statistics are always float64. ``block``: items read at once; None: what suits
    the device of the points.
    """

    shards: Sequence[Items]
    fractions: tuple[float, ...] | None = None
    products: Products = "auto"
    tolerance: float = 5e-6
    block: int | None = None
    _parts: tuple[ItemBlocks, ...] = field(init=False)

    @_parts.default
    def _blocks_of_shards(self) -> tuple[ItemBlocks, ...]:
        for k, items in enumerate(self.shards):
            if len(items) == 0:
                raise DataError(f"shard {k}: no items to take a posterior of; choose a partition without empty shards")
        return item_blocks(self.shards, self.block)

    def at(self, x: Tensor, p: SchedulePoint, *, means: bool = True) -> PosteriorAnswer:
        """D2 at B points.

        Args:
            x: (B, *data).
            p: the schedule at the points' times, fields of shape (B,), **float64**: rounding sigma to float32 would
                cost more than anything else here (see ``widened`` for items with a width). Derivatives are used by
                ``PosteriorAnswer.rate`` alone.
            means: whether m, m_k and rates are computed too; without them the pass costs half.

        Returns:
            The posterior at the points; rows are independent of each other.
        """
        room = max(1, _ROOM // (len(self.shards) * max(1, x[0].numel()))) if means and len(x) else len(x)
        spans = list(pairwise([*range(0, len(x), max(room, 1)), len(x)]))
        parts = [self._at(x[i:j], _rows(p, x, slice(i, j)), means) for i, j in spans or [(0, 0)]]
        return parts[0] if len(parts) == 1 else _joined(parts)

    def _at(self, x: Tensor, p: SchedulePoint, means: bool) -> PosteriorAnswer:
        centre = self._parts[0].centre.to(x.device)
        y = x.flatten(1).double() - p.alpha * centre
        # At t = 0 every item but x itself has weight zero; with a tiny variance instead of zero too.
        variance = (p.sigma**2).clamp_min(torch.finfo(torch.float64).tiny ** 0.5)
        queries = self._queries(y, p.alpha / variance, p.alpha**2 / (2 * variance), p, x)
        sums = [shard_sums(part, queries, means) for part in self._parts]
        log_weight = torch.cat([s.top + s.weight.log() for s in sums], dim=1)
        counts = log_weight.new_tensor([part.count for part in self._parts])
        pi = counts / counts.sum() if self.fractions is None else counts.new_tensor(self.fractions)
        log_mean = log_weight - counts.log()
        weights = (log_mean + pi.log()).softmax(1)
        found = [s.vector / s.weight for s in sums if s.vector is not None]
        vector = torch.stack(found, dim=1) if found else None
        m_k = None if vector is None else (vector + centre).reshape(len(x), len(sums), *x.shape[1:]).to(x.dtype)
        return PosteriorAnswer(
            a=weights.to(x.dtype),
            log_density=log_mean - (y**2).sum(1, keepdim=True) / (2 * variance),
            m_k=m_k,
            point=p,
            centre=centre,
            weights=weights,
            product=torch.cat([s.product / s.weight for s in sums], dim=1),
            norm=torch.cat([s.norm / s.weight for s in sums], dim=1),
            vector=vector,
        )

    def _queries(self, y: Tensor, gain: Tensor, fall: Tensor, p: SchedulePoint, x: Tensor) -> Queries:
        dtype = self._dtype(x)
        rounding = _ROUNDING[dtype]
        if dtype == torch.float32 and y.is_cuda and torch.get_float32_matmul_precision() != "highest":
            rounding = 2.0**-11  # TF32
        longest = max(float(part.norms.max()) for part in self._parts) ** 0.5
        unit = rounding * gain * longest
        scattered = _SCATTERED * unit * y.norm(dim=1, keepdim=True)
        coherent = _COHERENT * unit * longest * p.alpha
        # Products in float64 cannot be computed again more exactly.
        limit = self.tolerance if dtype != torch.float64 else torch.inf
        rows = self._parts[0].rows if self.block else rows_on(y.device, len(y), y.shape[1], self._parts[0].rows)
        margin = margin_of(scattered, coherent, limit)
        return Queries(y=y, gain=gain, fall=fall, dtype=dtype, margin=margin, rows=rows)

    def _dtype(self, x: Tensor) -> torch.dtype:
        if self.products != "auto":
            return {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16}[self.products]
        exact = x.dtype == torch.float64 or x[0:1].numel() <= _SMALL
        return torch.float64 if exact else torch.float32


def _rows(p: SchedulePoint, x: Tensor, rows: slice) -> SchedulePoint:
    """Some rows of a point of shape (B,), as (B, 1)."""
    return changed_point(p, lambda value: value.to(x.device, torch.float64)[rows, None])


def _joined(parts: Sequence[PosteriorAnswer]) -> PosteriorAnswer:
    """The posterior at points that took turns, as one."""

    def cat(name: str) -> Tensor:
        return torch.cat([getattr(part, name) for part in parts])

    points = [asdict(part._point, recurse=False) for part in parts]
    return evolve(
        parts[0],
        a=cat("a"),
        log_density=cat("log_density"),
        m_k=cat("m_k"),
        point=SchedulePoint(**{name: torch.cat([point[name] for point in points]) for name in points[0]}),
        weights=cat("_weights"),
        product=cat("_product"),
        norm=cat("_norm"),
        vector=cat("_vector"),
    )
