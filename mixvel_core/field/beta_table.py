"""A discrete DDPM/DDIM beta table as a continuous variance preserving schedule.

At t = i/T the table has alpha^2 = prod_{j <= i} (1 - beta_j). log alpha between these times is a cubic spline, so the
schedule equals the table at every one of its own T times and has the two derivatives that the theory needs. Where that
spline would turn back, as for short tables whose first betas grow manyfold, it is the monotone cubic of Fritsch and
Carlson (1980), whose second derivative has jumps at the table's times.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import numpy as np
import torch
from attrs import frozen
from scipy.interpolate import CubicHermiteSpline, CubicSpline, PchipInterpolator
from torch import Tensor

from mixvel_core.errors import RecipeError, UsageError
from mixvel_core.field.conversions import vp_point
from mixvel_core.protocols import SchedulePoint, Suprema

BetaShape: TypeAlias = Literal["linear", "scaled-linear", "squared-cosine"]
_JUST = 1e-12
"""How long before a knot the limit from the left is taken."""


def usual_betas(shape: BetaShape, steps: int, first: float, last: float) -> list[float]:
    """The T = ``steps`` betas of the usual tables.

    ``linear`` (DDPM): even from ``first`` to ``last``. ``scaled-linear`` (latent diffusion): squares of numbers even
    between their roots. ``squared-cosine``: alpha^2 = cos^2(pi/2 (u + 0.008)/1.008), each beta at most 0.999; ``first``
    and ``last`` have no effect.
    """
    if shape == "linear":
        return [float(b) for b in np.linspace(first, last, steps)]
    if shape == "scaled-linear":
        return [float(b) for b in np.linspace(math.sqrt(first), math.sqrt(last), steps) ** 2]

    def alpha_squared(u: float) -> float:
        return math.cos((u + 0.008) / 1.008 * 0.5 * math.pi) ** 2

    return [min(1.0 - alpha_squared((i + 1) / steps) / alpha_squared(i / steps), 0.999) for i in range(steps)]


def falling_pieces(values: np.ndarray) -> tuple[tuple[float, ...], ...]:
    """The coefficients, of u^3 first, of a smooth falling curve through T + 1 falling ``values`` at t = i/T.

    On the i-th of the T intervals it is a cubic of u = t - i/T: a spline, or the monotone cubic where that turns back.
    """
    knots = np.linspace(0.0, 1.0, len(values))
    spline = CubicSpline(knots, values)
    falls = bool((spline(np.linspace(0.0, 1.0, 16 * (len(values) - 1) + 1), 1) < 0).all())
    pieces = spline.c if falls else _monotone_pieces(knots, values)
    return tuple(tuple(float(v) for v in row) for row in pieces)


def _monotone_pieces(knots: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The coefficients (4, T) of the monotone cubic through falling ``values``, which rests at no end.

    At rest at t = 0 the schedule would leave the data at no rate.
    """
    slopes = PchipInterpolator(knots, values)(knots, 1)
    first, last = ((values[i + 1] - values[i]) / (knots[i + 1] - knots[i]) for i in (0, len(values) - 2))
    slopes[[0, -1]] = first if slopes[0] == 0 else slopes[0], last if slopes[-1] == 0 else slopes[-1]
    pieces: np.ndarray = CubicHermiteSpline(knots, values, slopes).c
    return pieces


@frozen(kw_only=True)
class BetaTable:
    """The schedule of a table of T = ``len(c0)`` betas.

    log alpha = c3 u^3 + c2 u^2 + c1 u + c0 on the i-th of T equal intervals, u = t - i/T.
    """

    c3: tuple[float, ...]
    c2: tuple[float, ...]
    c1: tuple[float, ...]
    c0: tuple[float, ...]

    @classmethod
    def from_betas(cls, betas: Sequence[float]) -> BetaTable:
        """The continuous schedule of ``betas``: T >= 4 numbers in (0, 1), beta_1 first.

        Raises:
            RecipeError: a beta outside (0, 1), or too few of them.
        """
        beta = np.asarray(betas, dtype=np.float64)
        if beta.ndim != 1 or len(beta) < 4 or not ((beta > 0) & (beta < 1)).all():
            raise RecipeError("schedule: a beta table needs at least 4 numbers, all above 0 and below 1")
        log_alpha = np.concatenate([[0.0], 0.5 * np.cumsum(np.log1p(-beta))])
        c3, c2, c1, c0 = falling_pieces(log_alpha)
        return cls(c3=c3, c2=c2, c1=c1, c0=c0)

    def at(self, t: Tensor) -> SchedulePoint:
        """alpha, sigma and their derivatives at t in [0, 1], any shape, from the cubic and its derivatives."""
        T = len(self.c0)
        i = (t.detach() * T).floor().long().clamp(0, T - 1)
        c3, c2, c1, c0 = (
            torch.tensor(c, dtype=t.dtype, device=t.device)[i] for c in (self.c3, self.c2, self.c1, self.c0)
        )
        u = t - i.to(t.dtype) / T
        log_alpha = ((c3 * u + c2) * u + c1) * u + c0
        return vp_point(log_alpha.clamp_max(0.0), (3.0 * c3 * u + 2.0 * c2) * u + c1, 6.0 * c3 * u + 2.0 * c2)

    def times(self, steps: int) -> list[float]:
        """The times of DDIM's usual steps, ``leading``: entries i T//N of the table for i < N, and clean data."""
        return leading_times(len(self.c0), steps)

    def suprema(self, low: Tensor, high: Tensor) -> Suprema:
        """Bounds of |alpha'| and |alpha''| on each [low, high], from the ranges of f = alpha'/alpha and f'.

        alpha' = alpha f and alpha'' = alpha (f' + f^2), and alpha <= alpha(low). The ranges are exact: f is a
        quadratic on each interval of the table, and f' a line.
        """
        T = len(self.c0)
        knots = torch.arange(T, dtype=torch.float64) / T
        c3, c2 = torch.tensor(self.c3, dtype=torch.float64), torch.tensor(self.c2, dtype=torch.float64)
        # f turns where f' = 6 c3 u + 2 c2 = 0; a piece that is straight, or turns outside itself, adds its own knot.
        u = -c2 / (3.0 * c3)
        turns = knots + torch.where((u > 0) & (u < 1 / T), u, 0.0)
        f_low, f_high = _range_of(lambda t: self._rates(t)[0], low, high, turns)
        # A line on each interval, from one limit to the other: its value just before a knot counts as well.
        limits = torch.stack([(knots - _JUST).clamp_min(0.0), knots], dim=1).reshape(-1)
        g_low, g_high = _range_of(lambda t: self._rates(t)[1], low, high, limits)
        alpha = self.at(low).alpha
        square_low = torch.where(f_low * f_high <= 0, 0.0, torch.minimum(f_low**2, f_high**2))
        square_high = torch.maximum(f_low**2, f_high**2)
        return Suprema(
            d_alpha=alpha * square_high.sqrt(),
            dd_alpha=alpha * torch.maximum((g_low + square_low).abs(), (g_high + square_high).abs()),
        )

    def _rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """f and f' at t: a point's alpha'/alpha, and alpha''/alpha less its square."""
        p = self.at(t)
        f = p.d_alpha / p.alpha
        return f, p.dd_alpha / p.alpha - f**2


def _range_of(value: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
    """Least and largest value on each [low, high] of a function that is monotone between the rising times ``turns``."""
    ends = torch.stack([value(low), value(high)])
    least, largest = ends.amin(0), ends.amax(0)
    at_turns = value(turns)
    first, after = (torch.searchsorted(turns, end.contiguous()) for end in (low, high))
    most = int((after - first).amax()) if low.numel() else 0
    # The intervals are mostly as short as the pieces: a few turns in each, one of every interval at a time.
    for step in range(most):
        inside = first + step < after
        one = at_turns[(first + step).clamp_max(len(turns) - 1)]
        least = torch.where(inside, torch.minimum(least, one), least)
        largest = torch.where(inside, torch.maximum(largest, one), largest)
    return least, largest


def leading_times(length: int, steps: int, offset: int = 0) -> list[float]:
    """N + 1 falling times at entries i T//N + ``offset`` of a table of ``length`` T, i < N; the last is 0.

    Entry j of a table, counted from 0, lies at t = (j + 1) / T: pure noise is taken for the first of these, as DDIM
    does. Raises UsageError for more steps than entries.
    """
    if steps > length or (steps - 1) * (length // steps) + offset >= length:
        raise UsageError(f"{steps} steps, but the table of the schedule has {length} entries; take fewer steps")
    entries = [i * (length // steps) + offset for i in reversed(range(steps))]
    return [*((entry + 1) / length for entry in entries), 0.0]
