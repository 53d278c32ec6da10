"""Integrator: one step of the sampling ODE, or of an SDE of the same law. Field: what an integrator may ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from mixvel_core.protocols.schedule import NoiseSchedule
    from mixvel_core.protocols.selector import Estimate
    from mixvel_core.types import Points


class Field(Protocol):
    """The denoiser of the whole mixture, however it is put together."""

    @property
    def schedule(self) -> NoiseSchedule:
        """The schedule of the sampling ODE."""

    def denoise(self, x: Points, t: float) -> Points:
        """An estimate of m(x, t), (B, *data). Every call is one selection, and costs expert evaluations."""


@runtime_checkable
class SplitField(Field, Protocol):
    """A field that gives the smooth part of its estimates and their jumps apart."""

    def estimate(self, x: Points, t: float) -> Estimate:
        """An estimate of m(x, t) in its two parts; one selection, as ``denoise``."""


@runtime_checkable
class NoisyField(Field, Protocol):
    """A field of sampled trajectories, each of which has random numbers of its own."""

    def noise(self, x: Points, counter: int) -> Points:
        """Standard normal numbers like x, (B, *data): a function of (seed, sample index, counter) alone."""


class Integrator(Protocol):
    """Moves x from time t to an earlier time s, or to a later one where an encoding follows the ODE back."""

    @property
    def order(self) -> int:
        """The order of the global error in the step size, for a smooth field."""

    @property
    def evaluations(self) -> int:
        """Field evaluations per step."""

    def step(self, field: Field, x: Points, t: float, s: float, history: Any) -> tuple[Points, Any]:
        """One step.

        Args:
            field: the mixture.
            x: points at time t, (B, *data).
            t: where x is, in (0, 1].
            s: where to go, 0 <= s < t; t < s <= 1 in an encoding.
            history: None at the first step, then what the previous step returned.

        Returns:
            x at time s, and the history for the next step.
        """


@runtime_checkable
class RandomIntegrator(Integrator, Protocol):
    """An integrator that may follow an SDE: it asks a ``NoisyField`` for noise, with the number of the step."""

    @property
    def is_random(self) -> bool:
        """Whether it does, with its options. Then its samples have the law of the ODE's, and not their places."""
