"""SampleDraws: random numbers of samples, functions of the seed and of the sample alone."""

from __future__ import annotations

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.randomness import key, normal, uniform


@frozen(kw_only=True, eq=False)
class SampleDraws:
    """``seed``: of the run. ``index``: the samples of this batch, (B,) int64."""

    seed: int
    index: Tensor

    def uniform(self, counter: int) -> Tensor:
        """One number in (0, 1) per sample, (B,) float64."""
        return uniform(key(self.seed, "select"), self.index, counter)

    def normal(self, x: Tensor, counter: int) -> Tensor:
        """Standard normal numbers like x, (B, *data), for step ``counter`` of an SDE."""
        return normal(key(self.seed, "step"), self.index, tuple(x.shape[1:]), x.dtype, counter)

    def noise(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """The starting points x_1 ~ N(0, I), (B, *shape)."""
        return normal(key(self.seed, "noise"), self.index, shape, dtype)
