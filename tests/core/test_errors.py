"""Errors cross process boundaries whole."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from mixvel_core import errors

CLASSES = [c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, errors.MixvelError)]


def _arguments(cls: type[errors.MixvelError]) -> list[tuple[str, ...]]:
    """Positional ones that the class takes."""
    code = getattr(cls.__init__, "__code__", None)
    if code is None or code.co_flags & inspect.CO_VARARGS:
        return [(), ("one line",), ("two", "lines")]
    return [tuple(f"line {i}" for i in range(code.co_argcount - 1))]


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_survives_pickling(cls: type[errors.MixvelError]) -> None:
    for arguments in _arguments(cls):
        error = cls(*arguments)
        for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert type(again) is cls
            assert again.args == error.args
            assert str(again) == str(error)
            assert vars(again) == vars(error)
