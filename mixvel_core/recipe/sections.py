"""Sections: mappings to attrs classes, every field checked by itself so that no problem hides another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_type_hints

import attrs
from cattrs import Converter

from mixvel_core.errors import MixvelError, PluginError
from mixvel_core.recipe.describe import describe_value
from mixvel_core.recipe.problems import MOST_SHOWN, KeyPath, Problem, ProblemsFound
from mixvel_core.recipe.values import Hook, wrong
from mixvel_core.spelling import did_you_mean


def section_hook(cls: Any, converter: Converter, owner: str | None = None) -> Hook:
    """The hook of an attrs class. ``owner``: whose fields they are, in messages; the class's name if absent."""
    types = field_types(cls)
    fields = {f.alias: f for f in attrs.fields(cls) if f.init}
    title = owner or _title(cls)

    def hook(value: Any, _: Any) -> Any:
        if not isinstance(value, Mapping):
            raise wrong("a section (`key: value` lines)", value)
        unknown = [key for key in value if key not in fields]
        # Nobody reads more of them, and of a page that was pasted by mistake there may be thousands.
        problems = [_unknown(key, fields, title, hinted=i < MOST_SHOWN) for i, key in enumerate(unknown)]
        made: dict[str, Any] = {}
        for alias, field in fields.items():
            try:
                if alias in value:
                    made[alias] = converter.structure(value[alias], types[field.name])
                    _validate(field, made[alias])
                elif field.default is attrs.NOTHING:
                    problems.append(_missing(alias, field))
            except ProblemsFound as found:
                problems += [problem.below(alias) for problem in found.problems]
        if problems:
            raise ProblemsFound(*problems)
        return _construct(cls, made)

    return hook


def field_types(cls: type) -> Mapping[str, Any]:
    """The types of a class's fields, by name. Raises PluginError where they cannot be known."""
    try:
        return get_type_hints(cls)
    except (NameError, TypeError, SyntaxError) as error:
        where = f"{cls.__module__}.{cls.__qualname__}"
        raise PluginError(f"the types of {where} cannot be read ({error}); import them at run time") from None


def _validate(field: attrs.Attribute[Any], value: Any) -> None:
    # A converter of the class sees the value first, so its validator has to wait for the construction.
    if field.validator is None or field.converter is not None:
        return
    try:
        # None stands for the instance, which is not there yet: ranges do not look at it.
        field.validator(None, field, value)
    except (ValueError, TypeError, OverflowError, MixvelError) as error:
        raise _refused(error) from None
    # A validator that compares fields does look at the instance; it runs at the construction.
    except AttributeError:
        return


def _construct(cls: Any, made: Mapping[str, Any]) -> Any:
    try:
        return cls(**made)
    except (ValueError, TypeError, OverflowError, MixvelError) as error:
        raise _refused(error) from None


def _refused(error: Exception) -> ProblemsFound:
    return ProblemsFound(*(Problem(path=(), message=line) for line in str(error).splitlines() or [repr(error)]))


def _unknown(key: object, fields: Mapping[str, Any], title: str, *, hinted: bool) -> Problem:
    if not isinstance(key, str):
        return Problem(path=(), message=f"a key must be text, not {describe_value(key)}")
    accepts = f"accepts {', '.join(sorted(fields))}" if fields else "has no options"
    path: KeyPath = (key,)
    hint = did_you_mean(key, fields) if hinted else ""
    return Problem(path=path, message=f"unknown option{hint}  ({title} {accepts})")


def _missing(alias: str, field: attrs.Attribute[Any]) -> Problem:
    doc = field.metadata.get("doc", "")
    return Problem(path=(alias,), message="is missing" + (f"; it says {doc}" if doc else ""))


def _title(cls: type) -> str:
    name = cls.__name__.removesuffix("Options")
    return "a recipe" if name == "Recipe" else name.lower()
