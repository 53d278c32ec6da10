"""Paths of noise of networks from diffusers: beta tables and flows with the steps of their schedulers, and EDM's.

EDM's path x_0 + s eps, s = tan(a t), is that of alpha = cos(a t), sigma = sin(a t) up to the scale alpha of x_t, so
both have the same denoiser.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, Protocol

import numpy as np
import torch
from attrs import frozen
from torch import Tensor, nn

from mixvel_core.errors import UsageError
from mixvel_core.field.beta_table import BetaTable, leading_times
from mixvel_core.field.conversions import expand
from mixvel_core.protocols import BoundedSchedule, InvertibleSchedule, SchedulePoint, Suprema
from mixvel_foreign.zero_snr import ZeroSNRTable


def _refuse(unread: str) -> None:
    """Raises UsageError where ``unread``, which makes a scheduler's steps others than those of the grid, is not ""."""
    if unread:
        raise UsageError(f"grid native: {unread} is not read; name another grid, `uniform` or `karras`")


@frozen(kw_only=True)
class SteppedTable:
    """A beta table with the steps of its scheduler; entry j of T, counted from 0, lies at t = (j + 1) / T.

    ``spacing``, ``offset``: which entries N steps visit (diffusers' timestep_spacing and steps_offset). ``points``: N,
    or N + 1, of which the last is left out. ``rounded``: whether those of linspace are rounded to entries. ``strides``:
    whether each step leads T // N entries on, wherever the next lies. ``to_clean``: whether the last step ends at t = 0
    (set_alpha_to_one), or at entry 0. ``unread``: what makes the scheduler's steps others than these; empty where
    nothing does.
    """

    table: BetaTable | ZeroSNRTable
    spacing: Literal["leading", "trailing", "linspace"]
    offset: int
    to_clean: bool
    points: Literal["N", "N + 1"] = "N"
    rounded: bool = True
    strides: bool = False
    unread: str = ""

    def at(self, t: Tensor) -> SchedulePoint:
        """alpha, sigma and their derivatives at t, those of the table."""
        return self.table.at(t)

    def times(self, steps: int) -> Sequence[float]:
        """N + 1 falling times; N where the last step would stand still.

        Raises UsageError for more steps than entries, or where the scheduler's steps are others.
        """
        _refuse(self.unread)
        T = len(self.table.c0)
        entries = self._visited(T, steps)
        if self.strides and not _even(entries, T // steps):
            raise UsageError(
                f"grid native: {steps} steps of the scheduler lead {T // steps} entries on each, and spaced by "
                f"{self.spacing} they are not that far apart, so that it ends its steps elsewhere; take a number of "
                f"steps that divides {T}, or another grid"
            )
        end = 0.0 if self.to_clean else 1.0 / T
        return [t for entry in entries if (t := (entry + 1.0) / T) > end] + [end]

    def _visited(self, T: int, steps: int) -> list[float]:
        """The entries, counted from 0, at which the N steps begin."""
        more = 1 if self.points == "N + 1" else 0
        if self.spacing == "leading":
            return [t * T - 1.0 for t in leading_times(T, steps + more, self.offset)[: -1 - more]]
        if steps > T:
            raise UsageError(f"{steps} steps, but the table of the schedule has {T} entries; take fewer steps")
        if self.spacing == "trailing":
            visited = np.round(np.arange(T, 0, -T / steps)) - 1.0
            if len(visited) != steps:
                raise UsageError(
                    f"grid native: {steps} steps spaced by trailing over {T} entries become {len(visited)} by "
                    "rounding, the last of them before entry 0; take another number of steps"
                )
            return [float(v) for v in visited]
        even = np.linspace(0, T - 1, steps + more)[::-1][:steps]
        return [float(v) for v in (even.round() if self.rounded else even)]


def _even(entries: Sequence[float], stride: int) -> bool:
    """Whether steps of ``stride`` lead from each entry to the next, and from the last one below entry 0."""
    following = [*entries[1:], None]
    return all(
        entry - stride < 0 if after is None else abs(entry - stride - after) < 0.5
        for entry, after in zip(entries, following, strict=True)
    )


class _Flow(BoundedSchedule, InvertibleSchedule, Protocol):
    """What the schedule rectified can do."""


@frozen(kw_only=True)
class SteppedFlow:
    """``flow``, alpha = 1 - t and sigma = t, with the steps of a flow matching scheduler.

    ``length``: T, of its times. ``shift``: s of t = s u / (1 + (s - 1) u). ``unread``: what makes its steps others;
    empty where nothing does.
    """

    flow: _Flow
    length: int
    shift: float = 1.0
    unread: str = ""

    def at(self, t: Tensor) -> SchedulePoint:
        """alpha, sigma and their derivatives at t."""
        return self.flow.at(t)

    def time_of(self, angle: Tensor) -> Tensor:
        """The t with atan(sigma/alpha) = ``angle``."""
        return self.flow.time_of(angle)

    def suprema(self, low: Tensor, high: Tensor) -> Suprema:
        """Bounds of the derivatives on each [low, high]."""
        return self.flow.suprema(low, high)

    def times(self, steps: int) -> Sequence[float]:
        """N times even from 1 to the shifted 1/T, shifted once more, then clean data.

        diffusers shifts twice: the table that gives it the least time is shifted already. Raises UsageError where the
        scheduler's steps are others.
        """
        _refuse(self.unread)
        least = self._shifted(1.0 / self.length)
        visited = [self._shifted(float(u)) for u in np.linspace(1.0, least, steps)]
        if not all(t > s for t, s in pairwise(visited)):
            raise UsageError(f"{steps} steps, but the times of the schedule are {self.length}; take fewer steps")
        return [*visited, 0.0]

    def _shifted(self, u: float) -> float:
        return self.shift * u / (1.0 + (self.shift - 1.0) * u)


@frozen(kw_only=True)
class EDMSchedule:
    """alpha = cos(a t), sigma = sin(a t), with tan(a) the largest noise that the network was trained on.

    ``rho``: of the Karras grid, its scheduler's steps. ``to_clean``: whether these end at clean data, or at
    ``sigma_min``. ``unread``: what makes its steps others; empty where nothing does.
    """

    sigma_max: float
    sigma_min: float
    rho: float
    to_clean: bool = True
    unread: str = ""

    @property
    def angle(self) -> float:
        """a, the largest angle atan(sigma/alpha)."""
        return math.atan(self.sigma_max)

    def at(self, t: Tensor) -> SchedulePoint:
        """alpha, sigma and their derivatives at t."""
        a = self.angle
        alpha, sigma = (a * t).cos(), (a * t).sin()
        return SchedulePoint(alpha=alpha, sigma=sigma, d_alpha=-a * sigma, d_sigma=a * alpha, dd_alpha=-(a**2) * alpha)

    def time_of(self, angle: Tensor) -> Tensor:
        """The t with atan(sigma/alpha) = a t = ``angle``."""
        return angle / self.angle

    def times(self, steps: int) -> Sequence[float]:
        """The Karras grid: even in s^(1/rho) from sigma_max to sigma_min, then clean data where ``to_clean``."""
        _refuse(self.unread)
        first, last = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        u = [i / max(steps - 1, 1) for i in range(steps)]
        visited = [math.atan((first + w * (last - first)) ** self.rho) / self.angle for w in u]
        return [*visited, 0.0] if self.to_clean else visited


class EDMDenoiser(nn.Module):
    """An EDM network as the denoiser of points of ``schedule``: m = c_skip x + c_out F(c_in x, c_noise)."""

    def __init__(self, network: nn.Module, *, schedule: EDMSchedule, sigma_data: float, velocity: bool) -> None:
        super().__init__()
        self.network = network
        self.schedule = schedule
        self.sigma_data = sigma_data
        self.sign = -1.0 if velocity else 1.0

    def forward(self, x: Tensor, t: Tensor, *given: Tensor) -> Tensor:
        """m(x, t), (B, *data), with what else the network is given."""
        p = self.schedule.at(t.double())
        # EDM's factors times alpha, so that nothing is divided by it.
        spread = torch.hypot(p.sigma, self.sigma_data * p.alpha)
        c_noise = 0.25 * (p.sigma / p.alpha).clamp_min(self.schedule.sigma_min).log()
        skip, out = self.sigma_data**2 * p.alpha / spread**2, self.sign * self.sigma_data * p.sigma / spread
        shaped = [expand(c.to(x), x) for c in (skip, out, 1.0 / spread)]
        F: Tensor = self.network(shaped[2] * x, c_noise.to(x), *given)
        return shaped[0] * x + shaped[1] * F
