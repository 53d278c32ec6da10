from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from attrs import field, frozen
from fake_plugins import LinearOptions, definition, fake_registry, module, source

from mixvel_core.errors import PluginError
from mixvel_core.plugin.definition import ScheduleUse, SelectorUse
from mixvel_core.plugin.discovery import Registry, make_registry
from mixvel_core.plugin.options import OptionCheck, option
from mixvel_core.recipe.problems import ProblemsFound, RecipeProblem
from mixvel_core.recipe.structure import structure

REGISTRY = fake_registry()


def found_in(value: object, annotation: Any, registry: Registry = REGISTRY) -> Sequence[RecipeProblem]:
    with pytest.raises(ProblemsFound) as found:
        structure(value, annotation, registry)
    return found.value.problems


def problems(value: object, annotation: Any) -> list[tuple[tuple[str | int, ...], str]]:
    return [(problem.path, problem.message) for problem in found_in(value, annotation)]


@pytest.mark.parametrize(
    ("value", "annotation", "made"),
    [
        *((3, int, 3), (3, float, 3.0), (True, bool, True), ("no", str, "no"), ("a/b", Path, Path("a/b"))),
        *((None, int | None, None), (3, int | None, 3), (3, int | str, 3), ("3", int | str, "3")),
        *(([1, 2], tuple[int, ...], (1, 2)), ([], tuple[int, ...], ())),
        ([1, "a"], tuple[int, str], (1, "a")),
        ([[1], [2, 3]], tuple[tuple[int, ...], ...], ((1,), (2, 3))),
        ({"a": 1}, Mapping[str, float], {"a": 1.0}),
        ("b", Literal["a", "b"], "b"),
        (2, Literal[1, 2], 2),
    ],
)
def test_values_of_the_right_type_pass(value: object, annotation: Any, made: object) -> None:
    result = structure(value, annotation, REGISTRY)
    assert result == made
    assert type(result) is type(made)


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        *((3.0, int), (True, int), ("3", int), (1 << 63, int), (1, bool), ("true", bool)),
        *((True, float), (-math.inf, float), (math.nan, float), (10**400, float), (None, str), ("", Path)),
        *(({}, int | None), (1.5, int | str), ("ab", tuple[str, ...]), ([1], tuple[int, int])),
        *(([], Mapping[str, int]), ("c", Literal["a", "b"]), (True, Literal[1, 2])),
    ],
)
def test_values_of_another_type_are_refused(value: object, annotation: Any) -> None:
    ((path, message),) = problems(value, annotation)
    assert path == ()
    assert message.startswith("must be ")


@frozen(kw_only=True)
class _Ordered:
    low: int
    high: int = field()

    @high.validator
    def _above_low(self, _: object, value: int) -> None:
        if value <= self.low:
            raise ValueError("must be above low")


@frozen(kw_only=True)
class _Even:
    number: int

    def __attrs_post_init__(self) -> None:
        if self.number % 2:
            raise ValueError("must be even")


def test_checks_that_need_the_whole_instance_run_too() -> None:
    assert structure({"low": 1, "high": 2}, _Ordered, REGISTRY) == _Ordered(low=1, high=2)
    assert problems({"low": 2, "high": 1}, _Ordered) == [((), "must be above low")]
    assert problems({"number": 3}, _Even) == [((), "must be even")]


def _mistaken(*arguments: Any) -> bool:
    """What a plugin author wrote in a hurry: asks an integer for what it has not."""
    return bool(arguments[-1].nothing)


@frozen(kw_only=True)
class _BadRange:
    size: int = option(default=1, check=OptionCheck(text="never", holds=_mistaken), doc="size")


@frozen(kw_only=True)
class _BadValidator:
    size: int = field(validator=_mistaken)


@frozen(kw_only=True)
class _BadInit:
    size: int

    def __attrs_post_init__(self) -> None:
        _mistaken(self.size)


@pytest.mark.parametrize("options", [_BadRange, _BadValidator, _BadInit])
def test_an_attribute_error_of_a_validator_is_the_plugins_fault(options: type) -> None:
    registry = make_registry([source(lambda: module(definition("selector", "typo", options)))])
    (problem,) = found_in({"use": "typo", "size": 3}, SelectorUse, registry)
    assert problem.plugin
    assert "typo" in problem.message
    assert "'int' object has no attribute 'nothing'" in problem.message


def test_a_slot_takes_a_name_or_a_name_with_options() -> None:
    registry = fake_registry()
    short, long = (structure(value, ScheduleUse, registry) for value in ("vp-linear", {"use": "vp-linear"}))
    assert short == long
    assert short.name == "vp-linear"
    assert short.options == LinearOptions()
    other = structure({"use": "vp-linear", "beta_max": 15}, ScheduleUse, registry)
    assert other.options == LinearOptions(beta_max=15.0)


@frozen(kw_only=True)
class _SetOptions:
    ids: set[int]


@frozen(kw_only=True)
class _LostOptions:
    path: Nowhere  # type: ignore[name-defined]  # noqa: F821 - a type that is not imported at run time


@pytest.mark.parametrize("options", [_SetOptions, _LostOptions])
def test_an_options_class_that_cannot_be_read_is_its_plugins_fault(options: type) -> None:
    registry = make_registry([source(lambda: module(definition("selector", "odd", options)))])
    (problem,) = found_in({"use": "odd", "ids": [1]}, SelectorUse, registry)
    assert problem.plugin
    assert "odd" in problem.message
    with pytest.raises(PluginError):
        structure({"ids": [1]}, options, registry)
