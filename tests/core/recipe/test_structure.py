from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
from attrs import field, frozen
from fake_plugins import LinearOptions, NetOptions, definition, fake_registry, module, source
from hypothesis import given, settings
from hypothesis import strategies as st

from mixvel_core.errors import PluginError
from mixvel_core.plugin.definition import ScheduleUse, SelectorUse
from mixvel_core.plugin.discovery import make_registry
from mixvel_core.recipe.problems import ProblemsFound
from mixvel_core.recipe.structure import structure

REGISTRY = fake_registry()


def problems(value: object, annotation: Any) -> list[tuple[tuple[str | int, ...], str]]:
    with pytest.raises(ProblemsFound) as found:
        structure(value, annotation, REGISTRY)
    return [(problem.path, problem.message) for problem in found.value.problems]


@pytest.mark.parametrize(
    ("value", "annotation", "made"),
    [
        (3, int, 3),
        (3, float, 3.0),
        (0.5, float, 0.5),
        (True, bool, True),
        ("no", str, "no"),
        ("a/b", Path, Path("a/b")),
        (None, int | None, None),
        (3, int | None, 3),
        (3, int | str, 3),
        ("3", int | str, "3"),
        ([1, 2], tuple[int, ...], (1, 2)),
        ([], tuple[int, ...], ()),
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
    ("value", "annotation", "message"),
    [
        (3.7, int, "must be an integer, not 3.7"),
        (3.0, int, "must be an integer, not 3.0"),
        (True, int, "must be an integer, not true"),
        ("3", int, "must be an integer, not the text '3'"),
        (1 << 63, int, "must be an integer of at most 64 bits, not 9223372036854775808"),
        (1, bool, "must be true or false, not 1"),
        ("true", bool, "must be true or false, not the text 'true'"),
        (True, float, "must be a number, not true"),
        (math.inf, float, "must be a finite number, not inf"),
        (-math.inf, float, "must be a finite number, not -inf"),
        (math.nan, float, "must be a finite number, not nan"),
        (3, str, "must be text, not 3"),
        (None, str, "must be text, not null"),
        ("", Path, "must be a path, not the text ''"),
        ({}, int | None, "must be an integer, not a mapping"),
        (1.5, int | str, "must be an integer or text, not 1.5"),
        (5, tuple[int, ...], "must be a list (an integer each), not 5"),
        ("ab", tuple[str, ...], "must be a list (text each), not the text 'ab'"),
        ([1], tuple[int, int], "must be a list of an integer and an integer, not a list"),
        ([], Mapping[str, int], "must be a mapping of names (an integer each), not a list"),
        ("c", Literal["a", "b"], "must be one of a, b, not the text 'c'"),
        ("nne", Literal["one", "two"], "must be one of one, two, not the text 'nne'; did you mean one?"),
        (True, Literal[1, 2], "must be one of 1, 2, not true"),
    ],
)
def test_values_of_another_type_are_refused(value: object, annotation: Any, message: str) -> None:
    assert problems(value, annotation) == [((), message)]


def test_all_problems_of_a_class_come_at_once_ranges_included() -> None:
    value = {
        "chanels": 3,
        "channels": [8, 0],
        "groups": [[1], ["x"], 3],
        "prediction": "eps0",
        "train": {"steps": 0, "batch": 2.5, "ema": 1, "stepps": 1},
        "weights": {"a": True},
    }
    found = dict(problems(value, NetOptions))
    assert found.pop(("chanels",)).startswith("unknown option; did you mean channels?  (net accepts channels, clip,")
    assert found.pop(("train", "stepps")).startswith("unknown option; did you mean steps?  (train accepts batch,")
    assert found == {
        ("channels",): "must be a list, not empty, of values at least 1, not (8, 0)",
        ("groups", 1, 0): "must be an integer, not the text 'x'",
        ("groups", 2): "must be a list (an integer each), not 3",
        ("prediction",): "must be one of x0, eps, not the text 'eps0'; did you mean eps?",
        ("train", "steps"): "must be at least 1, not 0",
        ("train", "batch"): "must be an integer, not 2.5",
        ("train", "ema"): "must be at least 0 and below 1, not 1.0",
        ("weights", "a"): "must be a number, not true",
    }


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


@frozen(kw_only=True)
class _Typo:
    size: int = field()

    @size.validator
    def _of_what_is_not_there(self, _: object, value: int) -> None:
        if value > self.most:  # type: ignore[attr-defined]  # the mistake of a plugin author
            raise ValueError("too large")


def test_an_attribute_error_in_a_validator_is_the_plugins_fault_and_not_swallowed() -> None:
    registry = make_registry([source(lambda: module(definition("selector", "typo", _Typo)))])
    with pytest.raises(ProblemsFound) as found:
        structure({"use": "typo", "size": 3}, SelectorUse, registry)
    (problem,) = found.value.problems
    assert problem.plugin
    assert "broken plugin typo" in problem.message
    assert "most" in problem.message


def test_a_slot_takes_a_name_or_a_name_with_options() -> None:
    registry = fake_registry()
    short, long = (structure(value, ScheduleUse, registry) for value in ("vp-linear", {"use": "vp-linear"}))
    assert short == long
    assert short.name == "vp-linear"
    assert short.options == LinearOptions()
    other = structure({"use": "vp-linear", "beta_max": 15}, ScheduleUse, registry)
    assert other.options == LinearOptions(beta_max=15.0)


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        (3, (), "must be `use: NAME` and its options, or NAME alone (installed for selector: mixture, topk), not 3"),
        ({"count": 2}, ("use",), "must name a plugin as `use: NAME` (installed for selector: mixture, topk)"),
        ({"use": 3}, ("use",), "must name a plugin as `use: NAME` (installed for selector: mixture, topk)"),
        (
            {"use": "topc"},
            ("use",),
            "no selector is called 'topc'; did you mean topk?  (installed for selector: mixture, topk)",
        ),
        ("topk", ("count",), "is missing; it says how many"),
        ({"use": "mixture", "k": 1}, ("k",), "unknown option  (mixture has no options)"),
        ({"use": "topk", "coun": 1}, ("coun",), "unknown option; did you mean count?  (topk accepts count)"),
    ],
)
def test_what_is_wrong_with_a_slot(value: object, path: tuple[str, ...], message: str) -> None:
    assert (path, message) in problems(value, SelectorUse)


@frozen(kw_only=True)
class _SetOptions:
    ids: set[int]


@frozen(kw_only=True)
class _LostOptions:
    path: Nowhere  # type: ignore[name-defined]  # noqa: F821 - a type that is not imported at run time


@pytest.mark.parametrize("options", [_SetOptions, _LostOptions])
def test_an_options_class_that_cannot_be_read_is_its_plugins_fault(options: type) -> None:
    made = module(definition("selector", "odd", options))
    registry = make_registry([source(lambda: made)])
    with pytest.raises(ProblemsFound) as found:
        structure({"use": "odd", "ids": [1]}, SelectorUse, registry)
    (problem,) = found.value.problems
    assert problem.plugin
    assert problem.message.startswith("broken plugin odd: ")
    with pytest.raises(PluginError):
        structure({"ids": [1]}, options, registry)


def test_options_for_python_name_their_plugin() -> None:
    with pytest.raises(ProblemsFound) as found:
        structure({"beta": 1}, LinearOptions, fake_registry(), "vp-linear")
    assert [p.message for p in found.value.problems] == [
        "unknown option; did you mean beta_min?  (vp-linear accepts beta_max, beta_min)"
    ]


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["use", "steps", "count", "train", "channels"]) | st.text(), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=150)
@given(_anything, st.sampled_from([NetOptions, ScheduleUse, SelectorUse, int, float, tuple[float, ...], int | None]))
def test_any_value_is_taken_or_refused_but_never_breaks(value: object, annotation: Any) -> None:
    try:
        structure(value, annotation, REGISTRY)
    except ProblemsFound as found:
        problems = found.problems
    else:
        return
    assert problems
    assert all(problem.message for problem in problems)
