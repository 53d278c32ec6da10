"""Mailbox: what the workers of all jobs report to the driver, and the driver's word that they are to stop.

Free of ray: the cluster makes an actor of it, on the driver's node.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from attrs import frozen

from mixvel_core.errors import MixvelError


@frozen
class Opened:
    """The training of ``job`` begins, or begins again."""

    job: str
    total: int
    unit: str


@frozen
class Moved:
    """``job`` has done so many units."""

    job: str
    done: int
    note: str


@frozen
class Ended:
    """``job`` is through, or has stopped with a checkpoint because it was told to."""

    job: str


@frozen
class Said:
    """A line to show."""

    text: str


@frozen
class Failed:
    """``job`` cannot go on, and a new worker could not either."""

    job: str
    error: MixvelError


Event: TypeAlias = Opened | Moved | Ended | Said | Failed


class Mailbox:
    """Keeps events in the order they came."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._stop = False

    def post(self, events: Sequence[Event]) -> bool:
        """Takes events in; returns whether the sender is to stop."""
        self._events += events
        return self._stop

    def take(self) -> list[Event]:
        """Gives out what has come since the last call."""
        events, self._events = self._events, []
        return events

    def stop(self) -> None:
        """From here on every sender is told to stop."""
        self._stop = True
