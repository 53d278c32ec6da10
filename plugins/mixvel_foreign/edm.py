"""EDM networks (Karras et al. 2022) on a variance preserving path.

EDM's own path x_0 + s eps is that path up to its scale, by s = tan(angle): the same knowledge of x_0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from attrs import frozen
from torch import Tensor, nn

from mixvel_core.field.conversions import expand
from mixvel_core.protocols import SchedulePoint


@frozen(kw_only=True)
class Arc:
    """alpha = cos(a t), sigma = sin(a t), with tan(a) the largest noise that the network was trained on."""

    sigma_max: float
    sigma_min: float
    rho: float

    @property
    def angle(self) -> float:
        """a."""
        return math.atan(self.sigma_max)

    def at(self, t: Tensor) -> SchedulePoint:
        """Closed forms at t."""
        a = self.angle
        alpha, sigma = (a * t).cos(), (a * t).sin()
        return SchedulePoint(alpha=alpha, sigma=sigma, d_alpha=-a * sigma, d_sigma=a * alpha, dd_alpha=-(a**2) * alpha)

    def time_of(self, angle: Tensor) -> Tensor:
        """The time of atan(sigma/alpha), which is a t."""
        return angle / self.angle

    def times(self, steps: int) -> Sequence[float]:
        """The Karras grid: even in s^(1/rho) from sigma_max to sigma_min, then clean data."""
        first, last = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        u = [i / max(steps - 1, 1) for i in range(steps)]
        return [*(math.atan((first + w * (last - first)) ** self.rho) / self.angle for w in u), 0.0]


class Preconditioned(nn.Module):
    """An EDM network as the denoiser of points of ``schedule``, EDM's c_skip, c_out, c_in and c_noise within."""

    def __init__(
        self, network: nn.Module, *, schedule: Arc, sigma_data: float, sigma_min: float, velocity: bool
    ) -> None:
        super().__init__()
        self.network = network
        self.schedule = schedule
        self.sigma_data = sigma_data
        self.sigma_min = sigma_min
        self.sign = -1.0 if velocity else 1.0

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """m(x, t), (B, *data)."""
        p = self.schedule.at(t.double())
        # EDM's factors times alpha, so that nothing is divided by it.
        spread = torch.hypot(p.sigma, self.sigma_data * p.alpha)
        c_noise = 0.25 * (p.sigma / p.alpha).clamp_min(self.sigma_min).log()
        skip, out = self.sigma_data**2 * p.alpha / spread**2, self.sign * self.sigma_data * p.sigma / spread
        shaped = [expand(c.to(x), x) for c in (skip, out, 1.0 / spread)]
        F: Tensor = self.network(shaped[2] * x, c_noise.to(x))
        return shaped[0] * x + shaped[1] * F
