"""Suites: the checks of a protocol as a base class of pytest tests, one method a check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from mixvel_core.plugin.definition import Kind
from mixvel_core.testing.check import Check, checks_of


class Suite:
    """Subclass the suite of your protocol, with a fixture ``component`` that makes what is to be tested."""

    kind: ClassVar[Kind]

    def __init_subclass__(cls) -> None:
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
    test.__doc__ = check.promise
    return test


class ScheduleSuite(Suite):
    """What a NoiseSchedule promises."""

    kind = "schedule"


class ExpertSuite(Suite):
    """What an ExpertFamily and its experts promise."""

    kind = "expert"


class RouterSuite(Suite):
    """What a RouterFamily and its routers promise."""

    kind = "router"


class SelectorSuite(Suite):
    """What a Selector promises."""

    kind = "selector"


class IntegratorSuite(Suite):
    """What an Integrator promises."""

    kind = "integrator"


class DataSourceSuite(Suite):
    """What a DataSource promises."""

    kind = "data"


class PartitionerSuite(Suite):
    """What a Partitioner promises."""

    kind = "partitioner"


class MetricSuite(Suite):
    """What a Metric promises."""

    kind = "metric"


class LauncherSuite(Suite):
    """What a Launcher promises."""

    kind = "launcher"
