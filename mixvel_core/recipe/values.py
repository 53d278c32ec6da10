"""Single values, strictly: 3.7 is no integer, true is no number, "3" is text. Only an integer may be a float."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType
from typing import Any, TypeAlias

from mixvel_core.recipe.describe import describe_value
from mixvel_core.recipe.problems import Problem, ProblemsFound

Hook: TypeAlias = Callable[[Any, Any], Any]
"""What cattrs calls to structure a value: (value, type) -> instance."""

_BITS = 63


def wrong(expected: str, value: object) -> ProblemsFound:
    """The problem of a value that is not what was expected."""
    return ProblemsFound(Problem(path=(), message=f"must be {expected}, not {describe_value(value)}"))


def _bool(value: Any, _: Any) -> bool:
    if not isinstance(value, bool):
        raise wrong("true or false", value)
    return value


def _int(value: Any, _: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong("an integer", value)
    # What does not fit 64 bits fits neither a tensor nor a seed.
    if not -(1 << _BITS) <= value < 1 << _BITS:
        raise wrong("an integer of at most 64 bits", value)
    return value


def _float(value: Any, _: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise wrong("a number", value)
    # False for infinities, for not-a-number, and for integers that float() cannot hold.
    if not abs(value) <= sys.float_info.max:
        raise wrong("a finite number", value)
    return float(value)


def _text(value: Any, _: Any) -> str:
    if not isinstance(value, str):
        raise wrong("text", value)
    return value


def _path(value: Any, _: Any) -> Path:
    if not isinstance(value, (str, Path)) or not str(value):
        raise wrong("a path", value)
    return Path(value)


def _none(value: Any, _: Any) -> None:
    if value is not None:
        raise wrong("null", value)


VALUE_HOOKS: Mapping[type, Hook] = {
    bool: _bool,
    int: _int,
    float: _float,
    str: _text,
    Path: _path,
    NoneType: _none,
}
