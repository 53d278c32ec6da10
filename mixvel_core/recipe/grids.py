"""How a recipe writes time grids: by name, as a shift, or as a list of times."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, TypeAlias

from attrs import frozen

from mixvel_core.plugin.options import OptionCheck, above, option


@frozen(kw_only=True)
class ShiftedGrid:
    """The grid ``uniform`` with its steps moved towards noise, as flow matching does."""

    shift: float = option(
        check=above(0), doc="s of t = s u/(1 + (s - 1) u), u uniform; above 1 for more steps near noise"
    )


GridName: TypeAlias = Literal["uniform", "logsnr", "quadratic", "karras", "angle", "angle-quadratic", "chebyshev"]
StudyGrid: TypeAlias = GridName | ShiftedGrid | tuple[float, ...]
Grid: TypeAlias = Literal[GridName, "native"] | ShiftedGrid | tuple[float, ...]
"""A grid by its name, ``{shift: s}``, or its times."""

DELTA = 0.01
"""Where grids end by default."""

TIMES = OptionCheck(
    text="a grid, or a list of times that fall from 1",
    holds=lambda v: not isinstance(v, tuple) or _is_falling(v),
)


def _is_falling(times: tuple[float, ...]) -> bool:
    return len(times) > 1 and times[0] == 1.0 and times[-1] >= 0.0 and all(t > s for t, s in pairwise(times))


def grid_name(grid: Grid) -> str:
    """A grid in words: its name, ``shift 3``, or its times."""
    if isinstance(grid, ShiftedGrid):
        return f"shift {grid.shift:g}"
    return grid if isinstance(grid, str) else f"[{', '.join(f'{t:g}' for t in grid)}]"
