"""Rows of the soak table: what was done to mixvel, how often, and how often it did as promised."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from attrs import frozen

Say = Callable[[str], None]
"""Shows a line while a drill is under way."""


@frozen(kw_only=True)
class Row:
    """``what`` was done, ``tried`` times, and went as promised ``fine`` times; ``promise``: what that means."""

    what: str
    promise: str
    tried: int
    fine: int


class Drill(Protocol):
    def run(self, count: int, progress: Say) -> Iterable[Row]:
        """Does it about ``count`` times; one row for each kind, as soon as it is known."""
        ...
