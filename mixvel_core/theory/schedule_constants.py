"""C1 and C2 of Assumption 3: how large alpha' and alpha'' get on [0, 1]."""

from __future__ import annotations

import torch
from attrs import frozen

from mixvel_core.protocols import NoiseSchedule
from mixvel_core.theory.rates import CELLS, is_certified, suprema


@frozen(kw_only=True)
class ScheduleConstants:
    """``C1`` >= sup abs(alpha'), ``C2`` >= sup abs(alpha'') on [0, 1]. ``certified``: proven, not sampled."""

    C1: float
    C2: float
    certified: bool


def schedule_constants(schedule: NoiseSchedule) -> ScheduleConstants:
    """C1 and C2: the largest of the proven bounds over the intervals of a partition.

    Exact for vp-linear, vp-cosine and the rectified path, which attain them in closed form; for a beta table above the
    truth by the little that a spline changes inside an interval.
    """
    times = torch.linspace(0.0, 1.0, CELLS + 1, dtype=torch.float64)
    known = suprema(schedule, times[:-1], times[1:])
    return ScheduleConstants(
        C1=float(known.d_alpha.amax()), C2=float(known.dd_alpha.amax()), certified=is_certified(schedule)
    )
