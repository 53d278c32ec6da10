"""The exact posterior under classes: each point is compared with the items of its own class, and of no other (D2)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from attrs import evolve, field, frozen
from torch import Tensor

from mixvel_core.field.conversions import changed_point
from mixvel_core.field.item_blocks import Items
from mixvel_core.field.posterior import PosteriorEngine
from mixvel_core.protocols import SchedulePoint

_ROWS = 1 << 14
"""Items in a block on a GPU, which has no cache to be kept to."""


@frozen(kw_only=True, eq=False)
class Among:
    """The posterior over those shards that have items of a class: ``places``, their k, (K',)."""

    engine: PosteriorEngine
    places: Tensor


@frozen(kw_only=True, eq=False)
class ClassPosterior:
    """``parts``: of the classes 0..C-1, and last of all items, those of each of K shards; some may be empty.

    ``fractions``: p(k | c), and last pi, (C + 1, K), a row of any sum; None: by the numbers of items.
    """

    parts: Sequence[Sequence[Items]]
    fractions: Sequence[Sequence[float]] | None = None
    _known: dict[tuple[int, torch.device], Among] = field(factory=dict, init=False)

    @property
    def classes(self) -> int:
        """C; as a class it is the null condition."""
        return len(self.parts) - 1

    def at(self, x: Tensor, p: SchedulePoint, classes: Tensor | None, *, means: bool) -> tuple[Tensor, Tensor | None]:
        """a, (B, K), and with ``means`` the denoiser m of all shards together, (B, *data).

        Args:
            x: noisy points, (B, *data).
            p: the schedule at their times, (B,) float64.
            classes: of the points, (B,) int64 in 0..C; None: all are null.
            means: whether m is computed too.
        """
        a, m = x.new_zeros(len(x), len(self.parts[-1])), torch.zeros_like(x) if means else None
        for rows, among in self.groups(x, classes):
            answer = among.engine.at(x[rows], changed_point(p, lambda value, rows=rows: value[rows]), means=means)  # type: ignore[misc]  # mypy infers no lambda with defaults
            a[rows[:, None], among.places] = answer.a
            if m is not None:
                m[rows] = answer.m
        return a, m

    def groups(self, x: Tensor, classes: Tensor | None) -> Iterator[tuple[Tensor, Among]]:
        """The rows of each class among the points x, (n,) int64, and the posterior for them."""
        if classes is None:
            yield torch.arange(len(x), device=x.device), self.among(self.classes, x.device)
            return
        classes = classes.to(x.device)
        for c in torch.unique(classes).tolist():
            yield (classes == c).nonzero()[:, 0], self.among(c, x.device)

    def among(self, c: int, device: torch.device) -> Among:
        """That of class c, or of all items for C, its items near ``device``: otherwise they would be copied there at
        each step. They stay where they are stored where they would take more than an eighth of its free memory."""
        if (c, device) not in self._known:
            places = [k for k, items in enumerate(self.parts[c]) if len(items)]
            fractions = None
            if self.fractions is not None:
                own = [self.fractions[c][k] for k in places]
                fractions = tuple(value / sum(own) for value in own)
            engine = PosteriorEngine(shards=tuple(self.parts[c][k] for k in places), fractions=fractions)
            among = Among(engine=_near(engine, device), places=torch.tensor(places, device=device))
            self._known[c, device] = among
        return self._known[c, device]


def _near(engine: PosteriorEngine, device: torch.device) -> PosteriorEngine:
    if device.type != "cuda":
        return engine
    size = sum(len(items) * math.prod(items.shape[1:]) * items.dtype.itemsize for items in engine.shards)
    if 8 * size >= torch.cuda.mem_get_info(device)[0]:
        return engine
    moved = tuple(torch.from_numpy(np.array(items[:])).to(device) for items in engine.shards)
    return evolve(engine, shards=moved, block=_ROWS)
