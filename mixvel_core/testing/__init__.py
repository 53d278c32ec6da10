"""The conformance kit: what each protocol requires, as checks that any implementation can be put to.

Two ways in. ``mixvel plugins check NAME`` runs them on the example of an installed plugin. In pytest, ``Suite`` is a
base class, and one fixture makes it a test of yours::

    class TestMine(Suite):
        kind = "router"

        @pytest.fixture
        def component(self) -> RouterFamily:
            return MyFamily()

Names are imported when they are first used: pytest imports this package when it starts, whatever it is about to test.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mixvel_core.errors import ConformanceError

if TYPE_CHECKING:
    from mixvel_core.testing.check import Check, Result, checks_of, run_checks
    from mixvel_core.testing.pytest_plugin import Suite

__all__ = ["Check", "ConformanceError", "Result", "Suite", "checks_of", "run_checks"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'mixvel_core.testing' has no attribute {name!r}")
    home = "pytest_plugin" if name == "Suite" else "check"
    return vars(import_module(f"mixvel_core.testing.{home}"))[name]
