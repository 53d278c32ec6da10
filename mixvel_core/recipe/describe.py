"""Recipes in words: types and values in messages, and labels of plugin slots."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from attrs import NOTHING, Factory, fields, has

from mixvel_core.plugin.definition import Use
from mixvel_core.plugin.kinds import Kind
from mixvel_core.recipe.dump import plain
from mixvel_core.recipe.problems import shortened

_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "text",
    Path: "a path",
    NoneType: "null",
}


def describe_type(annotation: Any) -> str:
    """What a value of this type is, for example "a list of an integer each"."""
    if annotation in _WORDS:
        return _WORDS[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Use) and hasattr(annotation, "kind"):
        return describe_slot(annotation.kind)
    arguments = get_args(annotation)
    match get_origin(annotation):
        case origin if origin is Literal:
            return "one of " + ", ".join(str(a) for a in arguments)
        case origin if origin in (Union, UnionType):
            return " or ".join(describe_type(a) for a in arguments)
        case origin if origin is tuple and arguments[-1:] == (Ellipsis,):
            return f"a list ({describe_type(arguments[0])} each)"
        case origin if origin is tuple:
            return "a list of " + " and ".join(describe_type(a) for a in arguments)
        case origin if isinstance(origin, type) and issubclass(origin, Mapping):
            return f"a mapping of names ({describe_type(arguments[-1])} each)"
        case _:
            return "a section (`key: value` lines)"


def describe_slot(kind: Kind) -> str:
    """What stands in a slot for a plugin of this kind, and how it is written."""
    article = "" if kind == "data" else "an " if kind[0] in "aeiou" else "a "
    return f"{article}{kind} (`use: NAME` and its options, or NAME alone)"


def describe_value(value: object) -> str:
    """A value as it would be read from a recipe, with its type where that is not plain to see."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return shortened(repr(value))
        case str():
            return f"the text {shortened(repr(value))}"
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case _:
            return f"a {type(value).__name__}"


def chosen_options(use: Use[Any]) -> list[str]:
    """The options that are not defaults, as ``k=2``; groups of options are left to the recipe."""
    options = use.options
    values = ((field, getattr(options, field.name)) for field in fields(type(options)))
    return [
        f"{field.alias}={value if isinstance(value, str) else json.dumps(plain(value))}"
        for field, value in values
        if value != _default(field.default) and not has(type(value))
    ]


def label(use: Use[Any]) -> str:
    """The plugin's name and its ``chosen_options``, as in ``cached tolerance=0.3``."""
    return " ".join([use.name, *chosen_options(use)])


def _default(default: Any) -> Any:
    # The type of a default that is a factory is known when it runs only; those that `option` makes take no argument.
    if isinstance(default, Factory):  # type: ignore[arg-type]  # attrs declares Factory a function
        return default.factory()
    return None if default is NOTHING else default
