"""Progress on the command line: bars in a terminal, a line now and then in a pipe or a log file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mixvel_core.cli.progress_lines import ProgressLines
from mixvel_core.protocols.progress import Progress


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """The progress that fits where standard output goes, for as long as the block lasts."""
    if not sys.stdout.isatty():
        yield ProgressLines()
        return
    # 80 ms of import that a pipe does not need.
    from mixvel_core.cli.progress_bars import progress_bars

    with progress_bars() as bars:
        yield bars
