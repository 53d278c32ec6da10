"""Silent: the progress of a script that wants none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from attrs import frozen

from mixvel_core.protocols.progress import ProgressTask


@frozen(kw_only=True)
class _SilentTask:
    def update(self, done: int, note: str = "") -> None:
        """Nothing."""


@frozen(kw_only=True)
class Silent:
    """Reports nothing."""

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator[ProgressTask]:
        """A bar nobody sees."""
        yield _SilentTask()

    def line(self, text: str) -> None:
        """Nothing."""
