"""K shards taken for Gaussians class by class: each point is seen by those of the items of its own class (D3).

Cell (k, c) holds the items of class c in shard k. A batch has rows of several classes, each computed together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.field.conversions import changed_point
from mixvel_core.field.gaussians import (
    NAMES,
    GaussianAnswers,
    Gaussians,
    ShardGaussians,
    gaussians_of_tensors,
)
from mixvel_core.field.guess import GaussianGuess, gaussian_guess
from mixvel_core.protocols import SchedulePoint

POOLED = 10.0
"""Items' worth of the shard's own variance in that of a cell."""
_PREFIX = "class."
_AT_ONCE = 1 << 23
"""Numbers of Gaussians that are gathered together."""


def shrunk(cell: ShardGaussians, count: int, shard: ShardGaussians) -> ShardGaussians:
    """The Gaussians of a cell of ``count`` items with variances (n s^2 + 10 s'^2)/(n + 10), s'^2 of the shard.

    With principal components s'^2 is the shard's variance along each axis of the cell, and the mean of what is left.
    """

    def pooled(own: Tensor, other: Tensor) -> Tensor:
        return (count * own + POOLED * other) / (count + POOLED)

    if cell.rank == 0:
        rest = pooled(cell.rest, (shard.weights[:, None] * shard.rest).sum(0))
        return ShardGaussians(
            weights=cell.weights, means=cell.means, rest=rest, axes=cell.axes, variances=cell.variances
        )
    D, r = cell.axes.shape[1:]
    rho, lambdas = shard.rest[0, 0], shard.variances[0]
    along = rho + (shard.axes[0].T @ cell.axes[0]).square().T @ (lambdas - rho)
    left = (lambdas.sum() + (D - len(lambdas)) * rho - along.sum()) / (D - r)
    return ShardGaussians(
        weights=cell.weights,
        means=cell.means,
        rest=pooled(cell.rest, left),
        axes=cell.axes,
        variances=pooled(cell.variances, along),
    )


@frozen(kw_only=True, eq=False)
class ClassGaussians:
    """``by_class``: the Gaussians of K shards for each class 0..C-1, and last, for the null condition, those of all
    items of each shard. J and r are the same for all."""

    by_class: tuple[Gaussians, ...]

    def of_rows(self, classes: Tensor) -> RowGaussians:
        """Those of B points by their classes, (B,) int64 in 0..C."""
        found, group = torch.unique(classes, return_inverse=True)
        parts = tuple(self.by_class[c] for c in found.tolist())
        rows = tuple((group == j).nonzero()[:, 0] for j in range(len(parts)))
        return RowGaussians(parts=parts, rows=rows, group=group)


@frozen(kw_only=True, eq=False)
class RowGaussians:
    """The Gaussians of B points. ``parts``: of K shards each. ``rows``: which points each part is for; ``group``: the
    part of each point, (B,) int64."""

    parts: tuple[Gaussians, ...]
    rows: tuple[Tensor, ...]
    group: Tensor

    def log_density(self, x: Tensor, p: SchedulePoint) -> Tensor:
        """As of ``Gaussians``, each row by its own: (B, K) float64."""
        return self._placed(
            [part.log_density(x[i], changed_point(p, lambda v, i=i: v[i])) for part, i in self._each(x)]  # type: ignore[misc]  # mypy infers no lambda with defaults
        )

    def answers(self, x: Tensor, p: SchedulePoint) -> GaussianAnswers:
        """As of ``Gaussians``, each row by its own."""
        found = [part.answers(x[i], changed_point(p, lambda v, i=i: v[i])) for part, i in self._each(x)]  # type: ignore[misc]  # mypy infers no lambda with defaults
        return GaussianAnswers(
            log_density=self._placed([one.log_density for one in found]),
            m=self._placed([one.m for one in found]),
            trace=self._placed([one.trace for one in found]),
        )

    def guess(self, x: Tensor) -> RowGuess:
        """Their denoisers, at points like x."""
        # Posteriors of components are differences of large numbers.
        dtype = x.dtype if self.parts[0].weights.shape[1] == 1 else torch.float64
        return RowGuess(
            parts=tuple(gaussian_guess(part, x) for part in self.parts),
            rows=tuple(i.to(x.device) for i in self.rows),
            group=self.group.to(x.device),
            tables=tuple(torch.cat([getattr(part, name) for part in self.parts]).to(x.device, dtype) for name in NAMES),
        )

    def _each(self, x: Tensor) -> list[tuple[Gaussians, Tensor]]:
        return [(part, i.to(x.device)) for part, i in zip(self.parts, self.rows, strict=True)]

    def _placed(self, found: Sequence[Tensor]) -> Tensor:
        """Rows of all parts in the order of the points."""
        return torch.cat(list(found))[torch.cat(self.rows).argsort().to(found[0].device)]


@frozen(kw_only=True, eq=False)
class RowGuess:
    """The guess of each point by the Gaussians of its class; see ``Guess``.

    ``tables``: weights, means, rest, axes and variances of all parts one after the other, (parts K, J, ...).
    """

    parts: tuple[GaussianGuess, ...]
    rows: tuple[Tensor, ...]
    group: Tensor
    tables: tuple[Tensor, ...]

    def weighted(self, x: Tensor, p: SchedulePoint, weights: Tensor) -> Tensor:
        """sum_k weights_k g_k(x), (B, D), each row by its own Gaussians."""
        total = torch.zeros_like(x)
        for part, i in zip(self.parts, self.rows, strict=True):
            total[i] = part.weighted(x[i], p, weights[i])
        return total

    def of(self, x: Tensor, p: SchedulePoint, expert: Tensor, sample: Tensor) -> Tensor:
        """g_k(x) of one shard for each point, (E, D), by the Gaussians of the class of its ``sample``."""
        cell = self.group[sample] * (len(self.tables[0]) // len(self.parts)) + expert
        # Gathered, not sorted by class: that would wait for the device.
        numbers = sum(table[0].numel() for table in self.tables)
        step = max(1, _AT_ONCE // numbers)
        parts = zip(torch.split(x, step), torch.split(cell, step), strict=True)
        return torch.cat([self._of(some.to(self.tables[0].dtype), p, one) for some, one in parts]).to(x.dtype)

    def _of(self, x: Tensor, p: SchedulePoint, cell: Tensor) -> Tensor:
        weights, mu, rho, U, lambdas = (table[cell] for table in self.tables)
        d = x[:, None] - p.alpha * mu
        z = torch.einsum("ejd,ejdr->ejr", d, U)
        c_0, c = (p.alpha**2 * v + p.sigma**2 for v in (rho, lambdas))
        h_0, h = ((p.alpha * v / total).nan_to_num(0.0) for v, total in ((rho, c_0), (lambdas, c)))
        m: Tensor = mu + h_0 * d + torch.einsum("ejdr,ejr->ejd", U, (h - h_0[..., :1]) * z)
        if m.shape[1] == 1:
            return m[:, 0]
        left = ((d * d / c_0).sum(-1) - (z * z / c_0[..., :1]).sum(-1)).clamp_min(0.0)
        free = (d.shape[-1] - z.shape[-1]) / c_0.shape[-1]
        total = (z * z / c + c.log()).sum(-1) + left + free * c_0.log().sum(-1)
        return torch.einsum("ej,ejd->ed", (weights.log() - 0.5 * total).softmax(1), m)


def class_tensors(cells: Sequence[Sequence[ShardGaussians]]) -> dict[str, Tensor]:
    """As they are stored, (K, C, ...) float32; ``cells``: K times C."""
    stored = [[cell.tensors() for cell in row] for row in cells]
    return {
        _PREFIX + name: torch.stack([torch.stack([cell[name] for cell in row]) for row in stored]) for name in NAMES
    }


def class_gaussians(tensors: Mapping[str, Tensor], null: Gaussians) -> ClassGaussians | None:
    """What ``class_tensors`` stored, with the Gaussians of the null condition; None where nothing is."""
    found = {name: tensors[_PREFIX + name] for name in NAMES if _PREFIX + name in tensors}
    if not found:
        return None
    C = found["means"].shape[1]
    cells = [gaussians_of_tensors({name: value[:, c] for name, value in found.items()}) for c in range(C)]
    return ClassGaussians(by_class=(*cells, null))
