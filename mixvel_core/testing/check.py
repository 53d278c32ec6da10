"""Check: one promise of a protocol, and how to see whether a component keeps it. Nothing here needs pytest."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from attrs import frozen

from mixvel_core.errors import ConformanceError
from mixvel_core.plugin.definition import Kind

_HOMES: dict[Kind, str] = {
    "schedule": "schedules",
    "expert": "experts",
    "router": "routers",
    "selector": "selectors",
    "integrator": "integrators",
    "data": "data_sources",
    "partitioner": "partitioners",
    "metric": "metrics",
    "launcher": "launchers",
}


@frozen(kw_only=True)
class Check:
    """``name``: in a word or two. ``promise``: what must hold. ``run``: raises ConformanceError where it does not."""

    name: str
    promise: str
    run: Callable[[Any], None]


@frozen(kw_only=True)
class Result:
    """How a check ended: ``error`` is None where the promise is kept, otherwise what was raised."""

    check: Check
    error: Exception | None

    @property
    def what(self) -> str:
        """What is wrong, in a line; empty where nothing is."""
        match self.error:
            case None:
                return ""
            case ConformanceError():
                return self.error.what
            case _:
                lines = str(self.error).strip().splitlines() or [""]
                return f"raised {type(self.error).__name__}: {lines[0]}"

    @property
    def fix(self) -> str:
        """What to do about it; empty where nothing is wrong."""
        match self.error:
            case None:
                return ""
            case ConformanceError():
                return self.error.fix
            case _:
                return f"{_place(self.error)}: look there first"


def require(holds: bool, what: str, fix: str) -> None:
    """Raises ConformanceError, unless it ``holds``: ``what`` the component does, and how to ``fix`` it."""
    if not holds:
        raise ConformanceError(what, fix)


def checks_of(kind: Kind) -> tuple[Check, ...]:
    """The checks of a kind, from the plainest promise to the deepest."""
    functions = import_module(f"mixvel_core.testing.{_HOMES[kind]}").CHECKS
    return tuple(
        Check(name=f.__name__, promise=str(f.__doc__).strip().splitlines()[0].rstrip("."), run=f) for f in functions
    )


def run_checks(kind: Kind, make: Callable[[], object]) -> Iterator[Result]:
    """All checks of ``kind``, each on a component that ``make`` has just made."""
    for check in checks_of(kind):
        error: Exception | None = None
        try:
            check.run(make())
        except Exception as raised:  # whatever a component raises is a finding
            error = raised
        yield Result(check=check, error=error)


def _place(error: Exception) -> str:
    """The innermost line that was at work: file and number, the component's own where it got that far."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).parent != Path(__file__).parent]
    last = (own or frames)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"
