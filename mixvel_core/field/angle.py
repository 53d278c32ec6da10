"""The time at which a schedule has a given signal-to-noise ratio, and where two schedules have the same.

The ratio is written as the angle atan(sigma/alpha), which grows from 0 (data) to pi/2 (noise) along every schedule and
is finite where the ratio itself is not.
"""

from __future__ import annotations

import torch
from attrs import frozen
from torch import Tensor

from mixvel_core.protocols import InvertibleSchedule, NoiseSchedule, SchedulePoint

_PARTS = 32
_ROUNDS = 11
"""32^11 = 2^55: as fine as float64. Many parts a round, because a call of a schedule costs more than its arithmetic."""


def angle_at(schedule: NoiseSchedule, t: Tensor) -> Tensor:
    """atan(sigma/alpha) at times t of any shape, float64."""
    p = schedule.at(t.double())
    return torch.atan2(p.sigma, p.alpha)


def time_of(schedule: NoiseSchedule, angle: Tensor) -> Tensor:
    """The times at which ``angle_at`` is ``angle``.

    Args:
        schedule: inverted in closed form where it is an ``InvertibleSchedule``, else by search.
        angle: in [0, pi/2], any shape, float64.

    Returns:
        t in [0, 1], the shape of ``angle``; 0 or 1 where the schedule has nothing as clean or as noisy.
    """
    if isinstance(schedule, InvertibleSchedule):
        return schedule.time_of(angle).clamp(0.0, 1.0)
    low, width = torch.zeros_like(angle), 1.0
    parts = torch.arange(_PARTS, dtype=angle.dtype, device=angle.device)
    for _ in range(_ROUNDS):
        width /= _PARTS
        reached = angle_at(schedule, low[..., None] + width * parts) <= angle[..., None]
        # The angle grows with t: the time lies in the last part that begins below it.
        low = low + width * (reached.sum(-1) - 1).clamp_min(0)
    return torch.where(angle >= angle_at(schedule, torch.ones_like(angle)), 1.0, low)


@frozen(kw_only=True, eq=False)
class EqualSNR:
    """Equal signal-to-noise ratios of a schedule and another: alpha'/sigma' (t') = alpha/sigma (t).

    ``t``: t' of the other, (B,). ``point``, ``other_point``: (alpha, sigma) at t and (alpha', sigma') at t', (B,)
    float64.
    """

    t: Tensor
    point: SchedulePoint
    other_point: SchedulePoint

    @property
    def scale(self) -> Tensor:
        """c of x' = c x, (B,) float64: (alpha', sigma') = c (alpha, sigma), whose length is zero for neither."""
        p, q = self.point, self.other_point
        return torch.hypot(q.alpha, q.sigma) / torch.hypot(p.alpha, p.sigma)


def match_snr(schedule: NoiseSchedule, other: NoiseSchedule, t: Tensor) -> EqualSNR:
    """The times and points of ``other`` at times t, (B,), of ``schedule``; its times have the type of t."""
    p = schedule.at(t.double())
    other_t = time_of(other, torch.atan2(p.sigma, p.alpha)).to(t.dtype)
    return EqualSNR(t=other_t, point=p, other_point=other.at(other_t.double()))
