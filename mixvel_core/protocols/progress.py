"""Progress: how long work reports where it is. The command line draws bars; a script may ignore it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol


class ProgressTask(Protocol):
    """One bar."""

    def update(self, done: int, note: str = "") -> None:
        """``done`` units of the total are behind; ``note`` is for example a loss."""
        ...


class Progress(Protocol):
    """A place to show bars and lines."""

    def task(self, name: str, total: int, unit: str) -> AbstractContextManager[ProgressTask]:
        """A bar that lives as long as the block it manages."""
        ...

    def line(self, text: str) -> None:
        """One line that stays."""
        ...
