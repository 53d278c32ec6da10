"""What a network is told of the time: t in [0, 1], or the timesteps of its training."""

from __future__ import annotations

from typing import Literal

from attrs import frozen
from torch import Tensor


@frozen(kw_only=True)
class ToldTime:
    """``time``: t itself, T t, or T t - 1, which is the entry of a table of ``length`` T, counted from 0.

    ``rounded``: whether it is rounded to an integer (and stays a float), as in training.
    """

    time: Literal["unit", "scaled", "entries"]
    length: int
    rounded: bool

    def __call__(self, t: Tensor) -> Tensor:
        """For times (B,) in [0, 1]; entries do not fall below 0, where a table begins."""
        if self.time == "unit":
            return t
        # Of float64: 1000 t in float32 is off by more than the rounding it is to survive.
        told = self.length * t.double()
        if self.time == "entries":
            told = (told - 1.0).clamp_min(0.0)
        return (told.round() if self.rounded else told).to(t.dtype)
