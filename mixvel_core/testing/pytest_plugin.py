"""Suite: the checks of a kind as a base class of pytest tests. A failed check is reported in its own words.

pytest loads this module when it starts, wherever mixvel is installed, so it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from mixvel_core.errors import ConformanceError
from mixvel_core.plugin.kinds import Kind

if TYPE_CHECKING:
    from _pytest.reports import TestReport

    from mixvel_core.testing.check import Check


class Suite:
    """Base class of a plugin's tests: set ``kind``, and override the fixture ``component`` with what is tested."""

    kind: ClassVar[Kind]

    def __init_subclass__(cls) -> None:
        from mixvel_core.testing.check import checks_of

        super().__init_subclass__()
        if "kind" in cls.__dict__:
            for check in checks_of(cls.kind):
                setattr(cls, f"test_{check.name}", _test(check))

    @pytest.fixture
    def component(self) -> Any:
        """What is to be tested; made anew for each test."""
        pytest.fail(f"{type(self).__name__} needs a fixture `component` that returns the {self.kind} to test")


def _test(check: Check) -> Callable[[Any, Any], None]:
    def test(self: Any, component: Any) -> None:
        check.run(component)

    test.__name__ = f"test_{check.name}"
    test.__doc__ = check.requirement
    return test


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
