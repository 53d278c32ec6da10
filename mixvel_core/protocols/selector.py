"""Selector: which experts to evaluate for which sample, and what to make of the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from attrs import frozen

if TYPE_CHECKING:
    from torch import Tensor

    from mixvel_core.protocols.schedule import NoiseSchedule, SchedulePoint
    from mixvel_core.types import Indices, Mask, Points, Weights


@frozen(kw_only=True)
class Evaluations:
    """The expert calls of one step, as a list of E entries grouped by expert.

    ``sample``: row of the batch, (E,). ``expert``: k, (E,). ``m``: the denoiser's answers, (E, *data).
    """

    sample: Indices
    expert: Indices
    m: Points


class Guess(Protocol):
    """Denoisers g_k of all K shards in closed form, exact where there is only noise; they evaluate no expert."""

    def weighted(self, x: Tensor, p: SchedulePoint, weights: Weights) -> Tensor:
        """sum_k weights_k g_k(x), (B, D), at x, (B, D), and one point p of the schedule; weights are (B, K)."""

    def of(self, x: Tensor, p: SchedulePoint, expert: Indices, sample: Indices) -> Tensor:
        """g_k(x) of one shard for each point, (E, D): k are ``expert``, (E,), x is (E, D).

        ``sample``: the row of the batch that each point belongs to, (E,): under a condition rows are unlike.
        """


@frozen(kw_only=True, eq=False)
class Prior:
    """What is known of all experts before any is evaluated: ``mean`` and ``variance`` of their shards, (K, *data).

    The Gaussian with these moments has a denoiser in closed form (``mixvel_core.field.guess``), which costs nothing and
    is exact in the limit of much noise. ``guess``: nearer ones, of a router that has them; None if it has not.
    ``of_all``: whether samples are under a condition that this, ``guess`` too, does not go by: then it is exact in no
    limit.
    """

    mean: Tensor
    variance: Tensor
    guess: Guess | None = None
    of_all: bool = False


@frozen(kw_only=True, eq=False)
class Estimate:
    """An estimate M = smooth + jump of the mixture's denoiser at one point of each trajectory.

    ``smooth``: the part that varies smoothly along trajectories, (B, *data), which multistep integrators extrapolate.
    ``jump``: what enters one step only, such as the noise of a random choice; None for zero.
    """

    smooth: Points
    jump: Points | None = None


class Draws(Protocol):
    """Random numbers that belong to samples, not to batches."""

    def uniform(self, counter: int) -> Tensor:
        """One number in (0, 1) per sample, (B,), a function of (seed, sample index, counter) alone."""

    def normal(self, x: Points, counter: int) -> Points:
        """Standard normal numbers like x, (B, *data), as much a function of those alone."""


class Selector(Protocol):
    """Turns weights into expert calls and answers into an estimate of the mixture's denoiser (D1).

    Samples of a batch choose independently. One call of ``select`` and one of ``combine`` belong to each
    evaluation of the field; an integrator with two stages makes two. The state belongs to the selector, which
    may update it in place.
    """

    def start(self, x: Points, schedule: NoiseSchedule, prior: Prior | None, draws: Draws) -> Any:
        """The state at the beginning of trajectories.

        Args:
            x: the starting points, (B, *data).
            schedule: by which x and t are to be read.
            prior: of the experts, in the dtype and on the device of x; None if one does not share its moments.
            draws: random numbers of these samples.
        """

    def select(self, x: Points, t: float, a: Weights, state: Any) -> tuple[Mask, Any]:
        """Which experts to evaluate at (x, t), given the router's weights: (B, K) bool, at least one in each row.

        The cost of the step is the number of True entries.
        """

    def combine(self, x: Points, t: float, a: Weights, answers: Evaluations, state: Any) -> tuple[Points, Any]:
        """The estimate M of the mixture's denoiser at (x, t), (B, *data), from exactly the selected evaluations."""


@runtime_checkable
class StepSelector(Selector, Protocol):
    """A selector that counts what it evaluates by how far each step goes."""

    def begin_step(self, t: float, s: float, state: Any) -> None:
        """Called before the evaluations of a step from t to s; estimates must be right without it too."""


@runtime_checkable
class SplitSelector(Selector, Protocol):
    """A selector whose estimates are not smooth along a trajectory, and which part of them is not."""

    def jump(self, state: Any) -> Points | None:
        """The part of the last M of ``combine`` that enters its own step only, (B, *data); None for zero."""


@runtime_checkable
class PairedSelector(Selector, Protocol):
    """A selector that chooses for both estimates of a guidance at once: M = w M_c + (1 - w) M_null of the same experts.

    Where there is one estimate, without a condition or at w = 1, ``select`` chooses as ever.
    """

    def select_both(
        self, x: Points, t: float, a: tuple[Weights, Weights], w: float, states: tuple[Any, Any]
    ) -> tuple[tuple[Mask, Mask], tuple[Any, Any]]:
        """Which experts to evaluate under the condition and without it, in place of one ``select`` for each.

        Args:
            x: points, (B, *data).
            t: their common time.
            a: p(k | x, t, c) and the weights of M_null, (B, K) each.
            w: the scale of the guidance at t, other than 1.
            states: of both estimates. Each is combined apart, by ``combine``.

        Returns:
            The masks, (B, K) bool each with at least one in each row, and the states.
        """
