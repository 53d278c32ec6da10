"""Recipes back to plain data and YAML, with every option written out; and the difference of two of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import yaml

from mixvel_core.plugin.definition import Use
from mixvel_core.plugin.options import key_values, option_key
from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.problems import KeyPath, dotted, one_line
from mixvel_core.recipe.text import add_core_schema


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes whatever YAML 1.1 or 1.2 would not read as text, and writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


add_core_schema(_Dumper)


def to_plain(recipe: Recipe) -> dict[str, Any]:
    """The recipe as dicts, lists and values; plugins as ``use`` and all their options, defaults included."""
    sections: dict[str, Any] = plain(recipe)
    return sections


def dump(recipe: Recipe) -> str:
    """The recipe as YAML that loads back to an equal recipe."""
    return yaml.dump(to_plain(recipe), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What changed between two plain recipes, as in ``expert.train.steps: 500 -> 800``, in their order."""
    before, after = dict(_leaves(old, ())), dict(_leaves(new, ()))
    return [
        f"{dotted(path)}: {_written(before, path)} -> {_written(after, path)}"
        for path in {**before, **after}
        if _written(before, path) != _written(after, path)
    ]


def plain(value: Any) -> Any:
    """A recipe or any part of one as dicts, lists and values."""
    return _plain(value, _all_values)


def keyed(value: Any) -> Any:
    """What of a recipe's part goes into the key of an artifact: ``plain``, less options that were added later and have
    the value of what was done before (``before`` of ``option``)."""
    return _plain(value, key_values)


def _plain(value: Any, values: Callable[[Any], Iterator[tuple[str, Any]]]) -> Any:
    if isinstance(value, Use):
        return {"use": value.name, **_plain(value.options, values)}
    if attrs.has(type(value)):
        return {name: _plain(one, values) for name, one in values(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item, values) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item, values) for item in value]
    return str(value) if isinstance(value, Path) else value


def uses_in(value: Any) -> Iterator[Use[Any]]:
    """Every plugin that a recipe, or a part of one, names: those in the options of others too."""
    if isinstance(value, Use):
        yield value
        yield from uses_in(value.options)
    elif attrs.has(type(value)):
        for _, one in _all_values(value):
            yield from uses_in(one)
    elif isinstance(value, Mapping | tuple):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from uses_in(one)


def _all_values(value: Any) -> Iterator[tuple[str, Any]]:
    return ((option_key(field), getattr(value, field.name)) for field in attrs.fields(type(value)) if field.init)


def _leaves(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """Values by path. A list of plain values is one value; a list of sections is taken apart."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    else:
        yield path, value


def _written(leaves: Mapping[KeyPath, Any], path: KeyPath) -> str:
    if path not in leaves:
        return "(absent)"
    value = leaves[path]
    return one_line(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
