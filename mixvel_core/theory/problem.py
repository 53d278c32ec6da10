"""Problem: everything that the constants and bounds depend on."""

from __future__ import annotations

import math

from attrs import Attribute, field, frozen

from mixvel_core.errors import UsageError
from mixvel_core.protocols import NoiseSchedule


def _radius(problem: Problem, attribute: Attribute[float], value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"theory: R, the largest norm of a data point, must be a number above 0, not {value!r}")


def _not_negative(problem: Problem, attribute: Attribute[float], value: float | None) -> None:
    if value is not None and not (math.isfinite(value) and value >= 0):
        raise UsageError(f"theory: {attribute.name} must be a number of at least 0, not {value!r}")


def _count(problem: Problem, attribute: Attribute[int], value: int) -> None:
    if value != int(value) or value < 1:
        raise UsageError(f"theory: {attribute.name} must be a whole number of at least 1, not {value!r}")


def _open_unit(problem: Problem, attribute: Attribute[float], value: float) -> None:
    if not 0.0 < value < 1.0:
        raise UsageError(
            f"theory: delta must be above 0 and below 1, not {value!r}: at delta = 0 every bound is infinite"
        )


@frozen(kw_only=True)
class Problem:
    """A sampling problem: N Euler steps of size h = (1 - delta)/N on the uniform grid from t = 1 to delta.

    Args:
        schedule: alpha and sigma.
        R: radius of a ball around 0 that holds the data (Assumption 2), > 0. Centred data has the smallest one.
        D: dimension of a data point, >= 1.
        K: number of experts, >= 1.
        delta: where sampling stops, in (0, 1).
        steps: N >= 1.
        eps_r: sup over x, t and k of norm(m^_k - m_k), the experts' error, >= 0.
        eps_c: sup over x, t and k of abs(a^_k - a_k), the router's error, >= 0. Routers answer on the simplex.
        norm_x1: norm of the starting point, for the bounds on one trajectory (Theorems 2 and 6). None: the mean over
            x_1 ~ N(0, I) (Theorem 8).
        diameter: largest distance between two data points, with which bounds are compared; None: 2 R.

    Raises:
        UsageError: a value out of range, one line.
    """

    schedule: NoiseSchedule
    R: float = field(validator=_radius)
    D: int = field(validator=_count)
    K: int = field(validator=_count)
    delta: float = field(validator=_open_unit)
    steps: int = field(validator=_count)
    eps_r: float = field(default=0.0, validator=_not_negative)
    eps_c: float = field(default=0.0, validator=_not_negative)
    norm_x1: float | None = field(default=None, validator=_not_negative)
    diameter: float | None = field(default=None, validator=_not_negative)

    @property
    def T(self) -> float:
        """The length of time that is sampled, 1 - delta."""
        return 1.0 - self.delta

    @property
    def h(self) -> float:
        """The size of a step."""
        return self.T / self.steps

    @property
    def eps(self) -> float:
        """The paper's one epsilon: the larger of the two errors."""
        return max(self.eps_r, self.eps_c)

    @property
    def start(self) -> float:
        """norm(x_1), or the root of its mean square: sqrt(D). Every bound is affine in norm(x_1) before it is squared,
        so by Minkowski's inequality the bound at sqrt(D) bounds the mean over x_1 ~ N(0, I)."""
        return math.sqrt(self.D) if self.norm_x1 is None else self.norm_x1

    @property
    def rho(self) -> float:
        """norm(x_1) + R: no trajectory leaves this ball (Theorem 4)."""
        return self.start + self.R
