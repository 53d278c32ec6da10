"""Plain data to typed recipes: values, sections, plugin slots and their options, strictly, every problem at once.

Strictly: 3.7 is no integer, true is no number, "3" is text, an unknown key is a problem.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import attrs

from mixvel_core.errors import MixvelError, PluginError, did_you_mean
from mixvel_core.machine import from_home
from mixvel_core.plugin.definition import Use
from mixvel_core.plugin.discovery import Registry
from mixvel_core.plugin.kinds import Kind
from mixvel_core.plugin.options import OptionCheck, option_key
from mixvel_core.recipe.describe import describe_type, describe_value, field_types
from mixvel_core.recipe.problems import MOST_SHOWN, KeyPath, ProblemsFound, RecipeProblem


def structure(value: object, annotation: Any, registry: Registry, owner: str | None = None) -> Any:
    """``value``, plain data, as an instance of ``annotation``.

    An annotation is bool, int, float, str, Path, None, Literal, a union, a tuple, a mapping of text, an attrs class, or
    a slot, whose plugin ``registry`` has. ``owner``: whose options they are, in messages; absent: the class.

    Raises ProblemsFound with everything that is wrong, paths relative to ``value``; PluginError where ``annotation``
    itself cannot be used.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and annotation in _SCALARS:
        return _SCALARS[annotation](value)
    if origin is Literal:
        return _literal(value, annotation)
    if origin in (Union, UnionType):
        return _union(value, annotation, registry)
    if origin is tuple:
        return _tuple(value, annotation, registry)
    if isinstance(origin, type) and issubclass(origin, Mapping) and arguments[0] is str:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise _wrong(describe_type(annotation), value)
        return _each(registry, ((key, item, arguments[1]) for key, item in value.items()))
    if isinstance(annotation, type) and issubclass(annotation, Use) and hasattr(annotation, "kind"):
        return _slot(value, annotation, registry)
    if isinstance(annotation, type) and attrs.has(annotation):
        name = annotation.__name__.removesuffix("Options")
        return _section(value, annotation, registry, owner or ("a recipe" if name == "Recipe" else name.lower()))
    raise PluginError(f"an option of type {annotation} cannot be written in a recipe")


def _wrong(expected: str, value: object, hint: str = "") -> ProblemsFound:
    return ProblemsFound(RecipeProblem(path=(), message=f"must be {expected}, not {describe_value(value)}{hint}"))


def _int(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong("an integer", value)
    # What does not fit 64 bits fits neither a tensor nor a seed.
    if not -(1 << 63) <= value < 1 << 63:
        raise _wrong("an integer of at most 64 bits", value)
    return value


def _float(value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise _wrong("a number", value)
    # False for infinities, for not-a-number, and for integers that float() cannot hold.
    if not abs(value) <= sys.float_info.max:
        raise _wrong("a finite number", value)
    return float(value)


def _path(value: object) -> Path:
    if not isinstance(value, (str, Path)) or not str(value):
        raise _wrong("a path", value)
    try:
        return from_home(value)
    except MixvelError as error:
        raise ProblemsFound(RecipeProblem(path=(), message=str(error))) from None


def _exactly(type_: type) -> Callable[[object], object]:
    def check(value: object) -> object:
        if not isinstance(value, type_):
            raise _wrong(describe_type(type_), value)
        return value

    return check


_SCALARS: Mapping[type, Callable[[object], object]] = {
    bool: _exactly(bool),
    str: _exactly(str),
    NoneType: _exactly(NoneType),
    int: _int,
    float: _float,
    Path: _path,
}


def _literal(value: object, annotation: Any) -> object:
    choices = get_args(annotation)
    # 1 and true are equal, and different choices.
    if (type(value), value) in [(type(choice), choice) for choice in choices]:
        return value
    hint = did_you_mean(value, [c for c in choices if isinstance(c, str)]) if isinstance(value, str) else ""
    raise _wrong(describe_type(annotation), value, hint)


def _union(value: object, annotation: Any, registry: Registry) -> Any:
    """The first type that takes the value. With one type besides None, its problems are those of the union."""
    others = [a for a in get_args(annotation) if a is not NoneType]
    if value is None and len(others) < len(get_args(annotation)):
        return None
    if len(others) == 1:
        return structure(value, others[0], registry)
    if isinstance(value, (Mapping, list, tuple)) and len(shaped := [a for a in others if _holds(a, value)]) == 1:
        return structure(value, shaped[0], registry)
    words = [a for a in others if get_origin(a) is Literal]
    if isinstance(value, str) and words and not any(a is str for a in others):
        return _literal(value, Literal[tuple(word for a in words for word in get_args(a))])
    for other in others:
        try:
            return structure(value, other, registry)
        except ProblemsFound:
            continue
    raise _wrong(describe_type(annotation), value)


def _holds(annotation: Any, value: object) -> bool:
    """Whether it is a type of lists where the value is a list, or of sections where it is one."""
    if isinstance(value, Mapping):
        return get_origin(annotation) is Mapping or (isinstance(annotation, type) and attrs.has(annotation))
    return get_origin(annotation) is tuple


def _tuple(value: object, annotation: Any, registry: Registry) -> tuple[Any, ...]:
    """A list of any length, or of the length of the type."""
    arguments = get_args(annotation)
    endless = arguments[-1:] == (Ellipsis,)
    if not isinstance(value, (list, tuple)) or not (endless or len(value) == len(arguments)):
        raise _wrong(describe_type(annotation), value)
    types = [arguments[0]] * len(value) if endless else arguments
    return tuple(_each(registry, zip(range(len(value)), value, types, strict=True)).values())


def _each(registry: Registry, parts: Iterable[tuple[str | int, Any, Any]]) -> dict[str | int, Any]:
    """(key, value, type) parts one by one. Raises the problems of all of them together."""
    done: dict[str | int, Any] = {}
    problems: list[RecipeProblem] = []
    for key, value, annotation in parts:
        try:
            done[key] = structure(value, annotation, registry)
        except ProblemsFound as found:
            problems += [problem.below(key) for problem in found.problems]
    if problems:
        raise ProblemsFound(*problems)
    return done


def _section(value: object, cls: Any, registry: Registry, title: str) -> Any:
    types = field_types(cls)
    fields = {option_key(f): f for f in attrs.fields(cls) if f.init}
    if not isinstance(value, Mapping):
        raise _wrong("a section (`key: value` lines)", value)
    unknown = [key for key in value if key not in fields]
    # Hints are costly, and of a page that was pasted by mistake there may be thousands.
    problems = [_unknown(key, fields, title, hinted=i < MOST_SHOWN) for i, key in enumerate(unknown)]
    made: dict[str, Any] = {}
    for key, field in fields.items():
        try:
            if key in value:
                made[field.alias] = structure(value[key], types[field.name], registry)
                _check_range(field, made[field.alias])
            elif field.default is attrs.NOTHING:
                doc = field.metadata.get("doc")
                problems.append(
                    RecipeProblem(path=(key,), message=f"is missing; it says {doc}" if doc else "is missing")
                )
        except ProblemsFound as found:
            problems += [problem.below(key) for problem in found.problems]
    if problems:
        raise ProblemsFound(*problems)
    with _complaints(cls.__qualname__):
        return cls(**made)


def _check_range(field: attrs.Attribute[Any], value: Any) -> None:
    """Ranges are checked before the construction, which stops at the first; other validators run there."""
    # A converter of the class comes before the validator, so that one has to wait too.
    if isinstance(field.validator, OptionCheck) and field.converter is None:
        with _complaints(f"the range of {option_key(field)}"):
            field.validator(None, field, value)


@contextmanager
def _complaints(what: str) -> Iterator[None]:
    """Makes problems of what an options class says against its values.

    Whatever else it raises is no complaint about a value: that is the plugin's fault, not the recipe's.
    """
    try:
        yield
    except (ValueError, TypeError, OverflowError, MixvelError) as error:
        lines = str(error).splitlines() or [repr(error)]
        raise ProblemsFound(*(RecipeProblem(path=(), message=line) for line in lines)) from None
    except Exception as error:
        raise PluginError(f"{what} fails on its options ({type(error).__name__}: {error})") from error


def _unknown(key: object, fields: Mapping[str, Any], title: str, *, hinted: bool) -> RecipeProblem:
    if not isinstance(key, str):
        return RecipeProblem(path=(), message=f"a key must be text, not {describe_value(key)}")
    accepts = f"accepts {', '.join(sorted(fields))}" if fields else "has no options"
    hint = did_you_mean(key, fields) if hinted else ""
    return RecipeProblem(path=(key,), message=f"unknown option{hint}  ({title} {accepts})")


def _slot(value: object, cls: Any, registry: Registry) -> Use[Any]:
    """Finds the definition, then checks the options against its options class."""
    kind: Kind = cls.kind
    choices = f"installed for {kind}: {', '.join(registry.names(kind)) or 'none'}"
    name: object = value
    path: KeyPath = ()
    options: Mapping[str, Any] = {}
    if isinstance(value, Mapping):
        name, path = value.get("use"), ("use",)
        if not isinstance(name, str):
            raise ProblemsFound(RecipeProblem(path=path, message=f"must name a plugin as `use: NAME` ({choices})"))
        options = {key: item for key, item in value.items() if key != "use"}
    if not isinstance(name, str):
        raise _wrong(f"`use: NAME` and its options, or NAME alone ({choices})", value)
    try:
        definition = registry.get(kind, name)
    except PluginError as error:
        raise ProblemsFound(RecipeProblem(path=path, message=str(error), plugin=True)) from None
    try:
        made = structure(options, definition.options, registry, owner=name)
    # The options class itself cannot be used: that is the plugin's fault, not the recipe's.
    except PluginError as error:
        message = f"broken plugin {name}: {error}"
        raise ProblemsFound(RecipeProblem(path=("use",), message=message, plugin=True)) from None
    use: Use[Any] = cls(definition=definition, options=made)
    return use
