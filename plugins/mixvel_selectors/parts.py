"""What `cached` goes by when it chooses: one estimate alone, or the two that a guidance combines.

With f the factor of an estimate in what is followed, f = 1 for one alone, w and 1 - w for M_c and M_null, a miss of
expert k in it counts abs(f) times. Misses of both estimates are added: their sum bounds what both miss together.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from attrs import frozen
from torch import Tensor

from mixvel_selectors.feedback import Extrapolated
from mixvel_selectors.tolerance import ExtrapolationErrors


@frozen(kw_only=True, eq=False)
class EstimatePart:
    """One estimate at one point: weights ``a`` and ages ``age``, (B, K) float64 each, and its factor f.

    ``count``: evaluations so far, (B, K). ``errors``: None without a tolerance.
    """

    a: Tensor
    age: Tensor
    count: Tensor
    factor: float
    extrapolated: Extrapolated
    errors: ExtrapolationErrors | None

    def worth(self) -> Tensor:
        """What the state would miss of each expert if this step did not evaluate it either, (B, K)."""
        # At the very start, and in a second stage, all ages may be zero: then the likeliest.
        old = ((self.age > 0) & (self.a > 0)).any(1, keepdim=True)
        # Where a factor changes its sign along the trajectory, misses may cancel, and more than that.
        worth = self.extrapolated.worth(self.a, self.age).abs()
        return abs(self.factor) * torch.where(old, worth, self.a)

    def predicted(self) -> Tensor:
        """The predicted error of each expert's extrapolation, (B, K)."""
        if self.errors is None:
            return torch.zeros_like(self.a)
        return abs(self.factor) * self.errors.predicted(self.a, self.age, self.count)


def total(of_parts: Sequence[Tensor]) -> Tensor:
    """The sum over one part or two."""
    return of_parts[0] if len(of_parts) == 1 else of_parts[0] + of_parts[1]


def local_error(parts: Sequence[EstimatePart]) -> Tensor | None:
    """Of the integrator, in what the parts make together, (B, D); None before there is one of each."""
    found = [None if part.errors is None else part.errors.local.difference() for part in parts]
    scaled = [part.factor * one for part, one in zip(parts, found, strict=True) if one is not None]
    return total(scaled) if len(scaled) == len(parts) else None
