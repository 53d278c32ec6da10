"""Values of a recipe, strictly: 3.7 is no integer, true is no number, "3" is text; and lists, mappings, unions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin

from cattrs import Converter

from mixvel_core.errors import did_you_mean
from mixvel_core.recipe.describe import describe_type, describe_value
from mixvel_core.recipe.problems import ProblemsFound, RecipeProblem

Hook: TypeAlias = Callable[[Any, Any], Any]
"""What cattrs calls to structure a value: (value, type) -> instance."""

_BITS = 63


def wrong(expected: str, value: object) -> ProblemsFound:
    """The problem of a value that is not what was expected."""
    return ProblemsFound(RecipeProblem(path=(), message=f"must be {expected}, not {describe_value(value)}"))


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


def structure_each(converter: Converter, parts: Iterable[tuple[str | int, Any, Any]]) -> dict[str | int, Any]:
    """Structures (key, value, type) parts one by one. Raises the problems of all of them together."""
    done: dict[str | int, Any] = {}
    problems: list[RecipeProblem] = []
    for key, value, annotation in parts:
        try:
            done[key] = converter.structure(value, annotation)
        except ProblemsFound as found:
            problems += [problem.below(key) for problem in found.problems]
    if problems:
        raise ProblemsFound(*problems)
    return done


def is_tuple(annotation: Any) -> bool:
    """tuple[T, ...] and tuple[T, U]."""
    return get_origin(annotation) is tuple


def tuple_hook(annotation: Any, converter: Converter) -> Hook:
    """A list of any length, or of the length of the type."""
    arguments = get_args(annotation)
    endless = arguments[-1:] == (Ellipsis,)

    def hook(value: Any, _: Any) -> Any:
        if not isinstance(value, (list, tuple)) or not (endless or len(value) == len(arguments)):
            raise wrong(describe_type(annotation), value)
        types = [arguments[0]] * len(value) if endless else arguments
        parts = [(i, item, type_) for i, (item, type_) in enumerate(zip(value, types, strict=True))]
        return tuple(structure_each(converter, parts).values())

    return hook


def is_mapping(annotation: Any) -> bool:
    """Mapping[str, T] and dict[str, T]."""
    origin = get_origin(annotation)
    return isinstance(origin, type) and issubclass(origin, Mapping) and get_args(annotation)[0] is str


def mapping_hook(annotation: Any, converter: Converter) -> Hook:
    """Names and values."""
    item_type = get_args(annotation)[1]

    def hook(value: Any, _: Any) -> Any:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise wrong(describe_type(annotation), value)
        return structure_each(converter, [(key, item, item_type) for key, item in value.items()])

    return hook


def is_literal(annotation: Any) -> bool:
    """Literal["a", "b"]."""
    return get_origin(annotation) is Literal


def literal_hook(annotation: Any, converter: Converter) -> Hook:
    """One of several values; 1 and true are different ones."""
    choices = get_args(annotation)

    def hook(value: Any, _: Any) -> Any:
        for choice in choices:
            if type(value) is type(choice) and value == choice:
                return choice
        found = wrong(describe_type(annotation), value)
        if isinstance(value, str):
            hint = did_you_mean(value, [c for c in choices if isinstance(c, str)])
            raise ProblemsFound(*(RecipeProblem(path=p.path, message=p.message + hint) for p in found.problems))
        raise found

    return hook


def is_union(annotation: Any) -> bool:
    """T | None and T | U."""
    return get_origin(annotation) in (Union, UnionType)


def union_hook(annotation: Any, converter: Converter) -> Hook:
    """The first type that takes the value. With one type besides None, that type's problems are told."""
    others = [a for a in get_args(annotation) if a is not NoneType]
    nullable = len(others) < len(get_args(annotation))

    def hook(value: Any, _: Any) -> Any:
        if value is None and nullable:
            return None
        if len(others) == 1:
            return converter.structure(value, others[0])
        for other in others:
            try:
                return converter.structure(value, other)
            except ProblemsFound:
                continue
        raise wrong(describe_type(annotation), value)

    return hook
