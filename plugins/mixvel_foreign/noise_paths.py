"""Paths of noise of networks from diffusers: a beta table with the steps of its scheduler, and EDM's.

EDM's path x_0 + s eps, s = tan(a t), is that of alpha = cos(a t), sigma = sin(a t) up to the scale alpha of x_t, so
both have the same denoiser.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from attrs import frozen
from torch import Tensor, nn

from mixvel_core.errors import UsageError
from mixvel_core.field.beta_table import BetaTable, leading_times
from mixvel_core.field.conversions import expand
from mixvel_core.protocols import SchedulePoint


@frozen(kw_only=True)
class SteppedTable:
    """A beta table with the steps of its scheduler; entry j of T, counted from 0, lies at t = (j + 1) / T.

    ``spacing``, ``offset``: which entries N steps visit (diffusers' timestep_spacing and steps_offset). ``points``: N,
    or N + 1, of which the last is left out. ``to_clean``: whether the last step ends at t = 0 (set_alpha_to_one), or at
    entry 0. ``unread``: what makes the scheduler's steps others than these; empty where nothing does.
    """

    table: BetaTable
    spacing: Literal["leading", "trailing", "linspace"]
    offset: int
    to_clean: bool
    points: Literal["N", "N + 1"] = "N"
    unread: str = ""

    def at(self, t: Tensor) -> SchedulePoint:
        """alpha, sigma and their derivatives at t, those of the table."""
        return self.table.at(t)

    def times(self, steps: int) -> Sequence[float]:
        """N + 1 falling times; N where the last step would stand still.

        Raises UsageError for more steps than entries, or where the scheduler's steps are others.
        """
        if self.unread:
            raise UsageError(f"grid native: {self.unread} is not read; name another grid, `uniform` or `karras`")
        T = len(self.table.c0)
        more = 1 if self.points == "N + 1" else 0
        if self.spacing == "leading":
            visited = leading_times(T, steps + more, self.offset)[: -1 - more]
        elif steps > T:
            raise UsageError(f"{steps} steps, but the table of the schedule has {T} entries; take fewer steps")
        elif self.spacing == "trailing":
            visited = [float(v) / T for v in np.round(np.arange(T, 0, -T / steps))[:steps]]
        else:
            visited = [(float(v) + 1.0) / T for v in np.linspace(0, T - 1, steps + more).round()[::-1][:steps]]
        end = 0.0 if self.to_clean else 1.0 / T
        return [t for t in visited if t > end] + [end]


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
        if self.unread:
            raise UsageError(f"grid native: {self.unread} is not read; name another grid, `uniform` or `karras`")
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

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """m(x, t), (B, *data)."""
        p = self.schedule.at(t.double())
        # EDM's factors times alpha, so that nothing is divided by it.
        spread = torch.hypot(p.sigma, self.sigma_data * p.alpha)
        c_noise = 0.25 * (p.sigma / p.alpha).clamp_min(self.schedule.sigma_min).log()
        skip, out = self.sigma_data**2 * p.alpha / spread**2, self.sign * self.sigma_data * p.sigma / spread
        shaped = [expand(c.to(x), x) for c in (skip, out, 1.0 / spread)]
        F: Tensor = self.network(shaped[2] * x, c_noise.to(x))
        return shaped[0] * x + shaped[1] * F
