"""Suite: the checks of a kind as a base class of pytest tests, one method a check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from mixvel_core.plugin.kinds import Kind
from mixvel_core.testing.check import Check, checks_of


class Suite:
    """Base class of a plugin's tests: set ``kind``, and override the fixture ``component`` with what is tested."""

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
    test.__doc__ = check.requirement
    return test
