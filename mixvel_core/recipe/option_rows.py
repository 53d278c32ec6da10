"""The reference of an options class: one row an option, for the command line and the docs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import attrs
from attrs import frozen

from mixvel_core.plugin.definition import Use
from mixvel_core.recipe.describe import describe_type
from mixvel_core.recipe.structure import field_types


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
        annotation = types[field.name]
        if not field.init:
            continue
        if _is_section(annotation):
            yield from option_rows(annotation, f"{above}{field.alias}.")
            continue
        yield OptionRow(
            path=above + field.alias,
            type=describe_type(annotation),
            default=_default(field),
            range=field.metadata.get("range", ""),
            doc=field.metadata.get("doc", ""),
        )
        for section, place in _sections_of(annotation):
            yield from option_rows(section, f"{above}{field.alias}.{place}")


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and attrs.has(annotation) and not issubclass(annotation, Use)


def _sections_of(annotation: Any) -> Iterator[tuple[type, str]]:
    """The sections that a value of this type may be or hold, and where in it they stand."""
    arguments = [argument for argument in get_args(annotation) if argument not in (NoneType, Ellipsis)]
    match get_origin(annotation):
        case origin if origin in (Union, UnionType):
            place = ""
        case origin if isinstance(origin, type) and issubclass(origin, Mapping):
            place = "NAME."
        case _:
            return
    for argument in arguments:
        if _is_section(argument):
            yield argument, place
        else:
            yield from ((section, place + below) for section, below in _sections_of(argument))


def _default(field: attrs.Attribute[Any]) -> str:
    default: Any = field.default
    if default is attrs.NOTHING:
        return "required"
    # attrs keeps the factory of a default as an object of this class, which its stubs call a function.
    if type(default).__name__ == "Factory":
        # A default made from the other fields has no value before there are any.
        if default.takes_self:
            return "depends on the others"
        default = default.factory()
    return default if isinstance(default, str) else json.dumps(default, default=str, ensure_ascii=False)
