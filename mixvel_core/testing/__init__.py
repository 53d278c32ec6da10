"""The conformance kit: what each protocol promises, as checks that any implementation can be put to.

Two ways in. ``mixvel plugins check NAME`` runs them on the ``example()`` of an installed plugin. In pytest, a suite is
a base class, and one fixture makes it a test of yours::

    class TestMine(RouterSuite):
        @pytest.fixture
        def component(self) -> RouterFamily:
            return MyFamily()

Names are imported when they are first used: pytest imports this package when it starts, whatever it is about to test.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mixvel_core.errors import ConformanceError
    from mixvel_core.testing.check import Check, Result, checks_of, run_checks
    from mixvel_core.testing.suites import (
        DataSourceSuite,
        ExpertSuite,
        IntegratorSuite,
        LauncherSuite,
        MetricSuite,
        PartitionerSuite,
        RouterSuite,
        ScheduleSuite,
        SelectorSuite,
    )

__all__ = [
    "Check",
    "ConformanceError",
    "DataSourceSuite",
    "ExpertSuite",
    "IntegratorSuite",
    "LauncherSuite",
    "MetricSuite",
    "PartitionerSuite",
    "Result",
    "RouterSuite",
    "ScheduleSuite",
    "SelectorSuite",
    "checks_of",
    "run_checks",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'mixvel_core.testing' has no attribute {name!r}")
    if name == "ConformanceError":
        return getattr(import_module("mixvel_core.errors"), name)
    home = "suites" if name.endswith("Suite") else "check"
    return getattr(import_module(f"mixvel_core.testing.{home}"), name)
