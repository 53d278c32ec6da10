"""What pytest loads wherever mixvel is installed: a failed check is reported in its own words.

Imported when pytest starts, so it imports nothing heavy; the suites are imported by the tests that use them.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from mixvel_core.errors import ConformanceError

if TYPE_CHECKING:
    from _pytest.reports import TestReport


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, TestReport, TestReport]:
    """In place of a traceback through the kit's checks: what the component does, and how to mend it."""
    report = yield
    error = call.excinfo.value if call.excinfo is not None else None
    if isinstance(error, ConformanceError) and report.failed and not item.config.getoption("fulltrace", False):
        report.longrepr = f"{item.nodeid}\n{error.what}\nfix: {error.fix}"
    return report
