"""Levels of noise: the times at which experts that part the time axis do so, as options of plugins have them."""

from __future__ import annotations

from collections.abc import Sequence

_SAME = 1e-6
"""Times nearer than this are one: less than an entry of any table."""


def agreed_boundaries(given: Sequence[float] | None, of_experts: Sequence[float] | None) -> tuple[float, ...]:
    """The times where one level ends and the next begins, rising, in [0, 1].

    Args:
        given: what a recipe has; None where it leaves them open.
        of_experts: what the experts themselves have; None where they have none.

    Raises:
        ValueError: there are neither, or both and they differ.
    """
    if given is None and of_experts is None:
        raise ValueError("boundaries: left open, and the experts have none of their own; give the times")
    if given is None or of_experts is None:
        return tuple(given or of_experts or ())
    if len(given) != len(of_experts) or any(abs(a - b) > _SAME for a, b in zip(given, of_experts, strict=True)):
        raise ValueError(f"boundaries: {list(given)}, and those of the experts are {list(of_experts)}; leave them out")
    return tuple(given)
