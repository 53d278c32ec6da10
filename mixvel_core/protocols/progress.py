"""Progress: how long work reports where it is; ``Silent`` reports nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from attrs import frozen


class ProgressTask(Protocol):
    """One bar of progress, from 0 to its total."""

    def update(self, done: int, note: str = "") -> None:
        """``done`` units of the total are behind; ``note`` is for example a loss."""


class Progress(Protocol):
    """A place to show bars and lines."""

    def task(self, name: str, total: int, unit: str) -> AbstractContextManager[ProgressTask]:
        """A bar that lives as long as the block it manages."""

    def line(self, text: str) -> None:
        """One line that stays."""


@frozen(kw_only=True)
class _SilentTask:
    def update(self, done: int, note: str = "") -> None:
        """Does nothing with the report."""


@frozen(kw_only=True)
class Silent:
    """A progress that shows nothing, for tests and callers without a terminal."""

    @contextmanager
    def task(self, name: str, total: int, unit: str) -> Iterator[ProgressTask]:
        """A bar nobody sees."""
        yield _SilentTask()

    def line(self, text: str) -> None:
        """Does nothing with the report."""


SILENT = Silent()
