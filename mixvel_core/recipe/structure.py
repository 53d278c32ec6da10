"""Plain data to typed recipes, strictly: nothing is rounded, guessed or dropped, and every problem is found.

cattrs by itself turns 3.7 into 3 and true into 1, and stops at the first invalid field of a class. The hooks
registered here refuse all that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attrs
from cattrs import Converter

from mixvel_core.errors import PluginError
from mixvel_core.plugin.registry import Registry
from mixvel_core.recipe import containers, sections, slots
from mixvel_core.recipe.values import VALUE_HOOKS, Hook

T = TypeVar("T")


def make_converter(registry: Registry) -> Converter:
    """A converter whose ``structure`` raises ProblemsFound with all problems, paths relative to its value."""
    converter = Converter()
    # Of the factories that know a type, the one registered last is asked: from the general to the special.
    converter.register_structure_hook_factory(lambda annotation: True, _unsupported)
    _register(converter, containers.is_tuple, containers.tuple_hook)
    _register(converter, containers.is_mapping, containers.mapping_hook)
    _register(converter, containers.is_literal, containers.literal_hook)
    _register(converter, containers.is_union, containers.union_hook)
    _register(converter, attrs.has, sections.section_hook)
    converter.register_structure_hook_factory(slots.is_slot, lambda cls: slots.slot_hook(cls, converter, registry))
    for type_, hook in VALUE_HOOKS.items():
        converter.register_structure_hook(type_, hook)
    return converter


def structure(value: object, cls: type[T], registry: Registry) -> T:
    """``value`` as an instance of the attrs class ``cls``.

    Raises ProblemsFound with everything that is wrong, PluginError where ``cls`` itself cannot be used.
    """
    return make_converter(registry).structure(value, cls)


def structure_options(value: Mapping[str, object], cls: type[T], registry: Registry, owner: str) -> T:
    """Options as an instance of their class; ``owner`` is the plugin they belong to, for messages."""
    made: T = sections.section_hook(cls, make_converter(registry), owner)(value, cls)
    return made


def _register(converter: Converter, knows: Callable[[Any], bool], factory: Callable[[Any, Converter], Hook]) -> None:
    converter.register_structure_hook_factory(knows, lambda annotation: factory(annotation, converter))


def _unsupported(annotation: Any) -> Hook:
    raise PluginError(f"an option of type {annotation} cannot be written in a recipe")
