"""Selector: which experts to evaluate for which sample, and what to make of the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from attrs import frozen

if TYPE_CHECKING:
    from torch import Tensor

    from mixvel_core.types import Indices, Mask, Points, Weights


@frozen(kw_only=True)
class Evaluations:
    """The expert calls of one step, as a list of E entries grouped by expert.

    ``sample``: row of the batch, (E,). ``expert``: k, (E,). ``m``: the denoiser's answers, (E, *data).
    """

    sample: Indices
    expert: Indices
    m: Points


class Draws(Protocol):
    """Uniform random numbers that belong to samples, not to batches."""

    def uniform(self, counter: int) -> Tensor:
        """One number in (0, 1) per sample, (B,), a function of (seed, sample index, counter) alone."""
        ...


class Selector(Protocol):
    """Turns weights into expert calls and answers into an estimate of the mixture's denoiser (D1).

    Samples of a batch choose independently. One call of ``select`` and one of ``combine`` belong to each
    evaluation of the field; an integrator with two stages makes two. The state belongs to the selector, which
    may update it in place.
    """

    def start(self, x: Points, means: Tensor | None, draws: Draws) -> Any:
        """The state at the beginning of trajectories at x, (B, *data).

        Args:
            x: the starting points; only shape, dtype and device matter.
            means: the experts' means, (K, *data), exact denoisers where alpha = 0; None if one is not shared.
            draws: random numbers of these samples.
        """
        ...

    def select(self, a: Weights, t: float, state: Any) -> tuple[Mask, Any]:
        """Which experts to evaluate: (B, K) bool. The cost of the step is the number of True entries."""
        ...

    def combine(self, a: Weights, t: float, answers: Evaluations, state: Any) -> tuple[Points, Any]:
        """The estimate M of the mixture's denoiser, (B, *data), from exactly the selected evaluations."""
        ...
