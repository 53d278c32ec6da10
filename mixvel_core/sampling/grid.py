"""Time grids: N + 1 times from 1 down to delta, or the steps that a schedule itself came with."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from mixvel_core.errors import UsageError
from mixvel_core.field.angle import angle_at, time_of
from mixvel_core.protocols import NoiseSchedule, SteppedSchedule
from mixvel_core.recipe.grids import Grid, ShiftedGrid

RHO = 7.0
"""Exponent of the Karras grid (Karras et al. 2022, table 1)."""

LOWEST, HIGHEST = -5.0, 7.0
"""Where a schedule's log(alpha/sigma) is infinite, the grid is laid out from here instead; the ends stay 1 and delta.

-5 is where the linear VP schedule ends; 7 is a noise of one part in a thousand."""


def time_grid(grid: Grid, schedule: NoiseSchedule, steps: int, delta: float) -> list[float]:
    """The times at which the sampler stops.

    Args:
        grid: ``uniform`` in t; ``quadratic``: uniform in sqrt(t), denser near data; ``logsnr``: uniform in
            lambda = log(alpha/sigma); ``karras``: uniform in (sigma/alpha)^(1/7); ``angle``: uniform in
            theta = atan(sigma/alpha); ``angle-quadratic``: uniform in sqrt(theta); ``chebyshev``: Chebyshev points in
            theta, dense at both ends; ``native``: the schedule's own. ``ShiftedGrid``: t = s u/(1 + (s - 1) u), u even,
            which on the schedule rectified multiplies sigma/alpha by s. Or the N + 1 times themselves.
        schedule: gives lambda to ``logsnr`` and ``karras``, and its steps to ``native``.
        steps: N >= 1.
        delta: the last time, 0 <= delta < 1; 0 for ``native``.

    Returns:
        N + 1 strictly decreasing times; the first is 1, the last is delta. Those of ``native`` begin and end where
        the schedule's own sampler does, with pure noise at the first of them.

    Raises:
        UsageError: numbers out of range, an unknown grid, a schedule without steps of its own, or times that are equal
            or rise, as those of ``logsnr`` and ``karras`` do where delta lies in the noise before their first.
    """
    if steps < 1:
        raise UsageError(f"steps must be at least 1, not {steps}")
    if not 0.0 <= delta < 1.0:
        raise UsageError(f"delta must be at least 0 and below 1, not {delta!r}")
    if isinstance(grid, tuple):
        return _given(grid, steps, delta)
    if grid == "native":
        return _native(schedule, steps, delta)
    u = torch.linspace(0.0, 1.0, steps + 1, dtype=torch.float64)
    match grid:
        case ShiftedGrid(shift=s):
            # What is shifted to delta.
            even = 1.0 + u * (delta / (s - (s - 1.0) * delta) - 1.0)
            times = s * even / (1.0 + (s - 1.0) * even)
        case "uniform":
            times = 1.0 + u * (delta - 1.0)
        case "quadratic":
            times = (1.0 + u * (delta**0.5 - 1.0)) ** 2
        case "logsnr":
            first, last = _bounds(schedule, delta)
            times = _time_of(schedule, first + u * (last - first))
        case "karras":
            first, last = ((-b / RHO).exp() for b in _bounds(schedule, delta))
            times = _time_of(schedule, -RHO * (first + u * (last - first)).log())
        case "angle":
            first, last = _angles(schedule, delta)
            times = time_of(schedule, first + u * (last - first))
        case "angle-quadratic":
            first, last = (angle.sqrt() for angle in _angles(schedule, delta))
            times = time_of(schedule, (first + u * (last - first)) ** 2)
        case "chebyshev":
            first, last = _angles(schedule, delta)
            times = time_of(schedule, first + 0.5 * (1.0 - torch.cos(torch.pi * u)) * (last - first))
        case _:
            raise UsageError(
                f"unknown time grid {grid!r}; there are uniform, logsnr, quadratic, karras, angle, angle-quadratic, "
                "chebyshev, native"
            )
    times[0], times[-1] = 1.0, delta
    if not bool((times.diff() < 0.0).all()):
        raise UsageError(
            f"grid {grid}: {steps} steps to delta {delta!r} do not fall strictly on this schedule; take a smaller "
            "delta, fewer steps or another grid"
        )
    return [float(t) for t in times]


def _given(times: tuple[float, ...], steps: int, delta: float) -> list[float]:
    if len(times) != steps + 1:
        own = len(times) - 1
        raise UsageError(f"grid: {len(times)} times are those of {own} steps, not of {steps}; set steps to {own}")
    if times[0] != 1.0 or times[-1] != delta or not all(t > s for t, s in pairwise(times)):
        raise UsageError(f"grid: the times must fall from 1 to delta, {delta!r}; give {delta!r} as the last of them")
    return list(times)


def _bounds(schedule: NoiseSchedule, delta: float) -> tuple[Tensor, Tensor]:
    p = schedule.at(torch.tensor([1.0, delta], dtype=torch.float64))
    first, last = (p.alpha / p.sigma).log().clamp(LOWEST, HIGHEST)
    return first, last


def _angles(schedule: NoiseSchedule, delta: float) -> tuple[Tensor, Tensor]:
    ends = angle_at(schedule, torch.tensor([1.0, delta], dtype=torch.float64))
    return ends[0], ends[1]


def _time_of(schedule: NoiseSchedule, log_snr: Tensor) -> Tensor:
    return time_of(schedule, (-log_snr).exp().atan())


def _native(schedule: NoiseSchedule, steps: int, delta: float) -> list[float]:
    if not isinstance(schedule, SteppedSchedule):
        raise UsageError(
            f"grid native: the schedule {type(schedule).__name__} has no steps of its own; take another grid, or the "
            "schedule ddpm-table or diffusers"
        )
    if delta != 0.0:
        raise UsageError(f"grid native ends where the schedule's own steps end; set delta to 0, not {delta!r}")
    return list(schedule.times(steps))
