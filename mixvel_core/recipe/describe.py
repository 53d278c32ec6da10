"""Options in words: types and values in messages, labels of plugin slots, and the reference of an options class."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import attrs
from attrs import frozen

from mixvel_core.errors import PluginError
from mixvel_core.plugin.definition import Use
from mixvel_core.plugin.kinds import Kind
from mixvel_core.plugin.options import option_key
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
        case bool() | int() | float():
            return shortened(repr(value).lower())
        case str():
            return f"the text {shortened(repr(value))}"
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case _:
            return f"a {type(value).__name__}"


def field_types(cls: type) -> Mapping[str, Any]:
    """The types of the fields of a class, by name. Raises PluginError where they cannot be evaluated."""
    try:
        return get_type_hints(cls)
    except (NameError, TypeError, SyntaxError) as error:
        where = f"{cls.__module__}.{cls.__qualname__}"
        raise PluginError(f"the types of {where} cannot be read ({error}); import them at run time") from None


def chosen_options(use: Use[Any]) -> list[str]:
    """The options that are not defaults, as ``k=2``; groups of options are left to the recipe."""
    values = ((field, getattr(use.options, field.name)) for field in attrs.fields(type(use.options)))
    return [
        f"{option_key(field)}={value if isinstance(value, str) else json.dumps(plain(value))}"
        for field, value in values
        if not attrs.has(type(value)) and value != (None if field.default is attrs.NOTHING else _default(field))
    ]


def label(use: Use[Any]) -> str:
    """The plugin's name and its ``chosen_options``, as in ``cached tolerance=0.3``."""
    return " ".join([use.name, *chosen_options(use)])


def _default(field: attrs.Attribute[Any]) -> Any:
    # attrs keeps the factory of a default as an object of a class that its stubs call a function.
    default: Any = field.default
    if type(default).__name__ != "Factory":
        return default
    # A default made from the other fields has no value before there are any.
    return "depends on the others" if default.takes_self else default.factory()


@frozen(kw_only=True)
class OptionRow:
    """One option. ``path``: its keys, dotted. ``default``: as a recipe writes it, or "required"."""

    path: str
    type: str
    default: str
    range: str
    doc: str


def option_rows(cls: type, above: str = "") -> Iterator[OptionRow]:
    """The options of an attrs class in their order; those of a section follow under its name.

    A section that may be absent, and a mapping of sections, have a row of their own before: the sections of a mapping
    are all alike, and stand there once, under ``NAME``.
    """
    types = field_types(cls)
    for field in attrs.fields(cls):
        annotation, path = types[field.name], above + option_key(field)
        if not field.init:
            continue
        if not _is_section(annotation):
            yield OptionRow(
                path=path,
                type=describe_type(annotation),
                default=_default_text(field),
                range=field.metadata.get("range", ""),
                doc=field.metadata.get("doc", ""),
            )
        for section, place in _sections_of(annotation):
            yield from option_rows(section, f"{path}.{place}")


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and attrs.has(annotation) and not issubclass(annotation, Use)


def _sections_of(annotation: Any) -> Iterator[tuple[type, str]]:
    """The sections that a value of this type is, or may be or hold, and where in it they stand."""
    if _is_section(annotation):
        yield annotation, ""
    origin = get_origin(annotation)
    mapping = isinstance(origin, type) and issubclass(origin, Mapping)
    for argument in get_args(annotation) if mapping or origin in (Union, UnionType) else ():
        yield from ((section, "NAME." * mapping + place) for section, place in _sections_of(argument))


def _default_text(field: attrs.Attribute[Any]) -> str:
    if field.default is attrs.NOTHING:
        return "required"
    default = _default(field)
    return default if isinstance(default, str) else json.dumps(default, default=str, ensure_ascii=False)
