"""A worker's way to the driver without a cluster in between."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from mixvel_ray.progress import Event, Mailbox


@define
class DirectWire:
    """A wire whose driver answers at once, or never if it is ``deaf``."""

    mailbox: Mailbox = field(factory=Mailbox)
    deaf: bool = False
    last: bool = False

    def send(self, events: Sequence[Event]) -> None:
        """Into the mailbox."""
        self.last = self.mailbox.post(events)

    def answer(self) -> bool | None:
        """The mailbox's."""
        return None if self.deaf else self.last
