"""A beta table with the steps that its scheduler takes through it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from attrs import frozen
from torch import Tensor

from mixvel_core.errors import UsageError
from mixvel_core.protocols import SchedulePoint
from mixvel_vp.table import Table, leading_times


@frozen(kw_only=True)
class Discrete:
    """``table``: of T entries; entry j, counted from 0, lies at t = (j + 1) / T.

    ``spacing``, ``offset``: which entries N steps visit (diffusers' timestep_spacing and steps_offset). ``to_clean``:
    whether the last step ends at t = 0 (set_alpha_to_one), or at entry 0.
    """

    table: Table
    spacing: Literal["leading", "trailing", "linspace"]
    offset: int
    to_clean: bool

    def at(self, t: Tensor) -> SchedulePoint:
        """The table's."""
        return self.table.at(t)

    def times(self, steps: int) -> Sequence[float]:
        """N + 1 falling times; N where the last step would stand still."""
        T = len(self.table.c0)
        if self.spacing == "leading":
            visited = leading_times(T, steps, self.offset)[:-1]
        elif steps > T:
            raise UsageError(f"{steps} steps, but the table of the schedule has {T} entries; take fewer steps")
        elif self.spacing == "trailing":
            visited = [float(v) / T for v in np.round(np.arange(T, 0, -T / steps))[:steps]]
        else:
            visited = [(float(v) + 1.0) / T for v in np.linspace(0, T - 1, steps).round()[::-1]]
        end = 0.0 if self.to_clean else 1.0 / T
        return [t for t in visited if t > end] + [end]
