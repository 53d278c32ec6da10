"""Plain data to typed recipes: sections, plugin slots and options, every problem found at once.

cattrs by itself turns 3.7 into 3 and true into 1, and stops at the first invalid field of a class. The hooks
registered here refuse all that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_type_hints

import attrs
from cattrs import Converter

from mixvel_core.errors import MixvelError, PluginError, did_you_mean
from mixvel_core.plugin.definition import Kind, Use
from mixvel_core.plugin.discovery import AnyDef, Registry
from mixvel_core.recipe.describe import describe_value
from mixvel_core.recipe.problems import MOST_SHOWN, KeyPath, ProblemsFound, RecipeProblem
from mixvel_core.recipe.values import (
    VALUE_HOOKS,
    Hook,
    is_literal,
    is_mapping,
    is_tuple,
    is_union,
    literal_hook,
    mapping_hook,
    tuple_hook,
    union_hook,
    wrong,
)


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
    return ProblemsFound(*(RecipeProblem(path=(), message=line) for line in str(error).splitlines() or [repr(error)]))


def _unknown(key: object, fields: Mapping[str, Any], title: str, *, hinted: bool) -> RecipeProblem:
    if not isinstance(key, str):
        return RecipeProblem(path=(), message=f"a key must be text, not {describe_value(key)}")
    accepts = f"accepts {', '.join(sorted(fields))}" if fields else "has no options"
    path: KeyPath = (key,)
    hint = did_you_mean(key, fields) if hinted else ""
    return RecipeProblem(path=path, message=f"unknown option{hint}  ({title} {accepts})")


def _missing(alias: str, field: attrs.Attribute[Any]) -> RecipeProblem:
    doc = field.metadata.get("doc", "")
    return RecipeProblem(path=(alias,), message="is missing" + (f"; it says {doc}" if doc else ""))


def _title(cls: type) -> str:
    name = cls.__name__.removesuffix("Options")
    return "a recipe" if name == "Recipe" else name.lower()


def is_slot(annotation: Any) -> bool:
    """A subclass of Use, which knows its kind."""
    return isinstance(annotation, type) and issubclass(annotation, Use) and hasattr(annotation, "kind")


def slot_hook(cls: Any, converter: Converter, registry: Registry) -> Hook:
    """The hook of a slot: finds the definition, then checks the options against its options class."""
    kind: Kind = cls.kind

    def hook(value: Any, _: Any) -> Any:
        if isinstance(value, str):
            definition = _definition(kind, value, registry, ())
            return cls(definition=definition, options=_options(definition, {}, converter))
        if not isinstance(value, Mapping):
            raise wrong(f"`use: NAME` and its options, or NAME alone ({_choices(kind, registry)})", value)
        name = value.get("use")
        if not isinstance(name, str):
            message = f"must name a plugin as `use: NAME` ({_choices(kind, registry)})"
            raise ProblemsFound(RecipeProblem(path=("use",), message=message))
        definition = _definition(kind, name, registry, ("use",))
        options = {key: item for key, item in value.items() if key != "use"}
        return cls(definition=definition, options=_options(definition, options, converter))

    return hook


def _definition(kind: Kind, name: str, registry: Registry, path: KeyPath) -> AnyDef:
    try:
        return registry.get(kind, name)
    except PluginError as error:
        raise ProblemsFound(RecipeProblem(path=path, message=str(error), plugin=True)) from None


def _options(definition: AnyDef, options: Mapping[str, Any], converter: Converter) -> Any:
    try:
        return section_hook(definition.options, converter, owner=definition.name)(options, definition.options)
    # The options class itself cannot be read: that is the plugin's fault, not the recipe's.
    except PluginError as error:
        message = f"broken plugin {definition.name}: {error}"
        raise ProblemsFound(RecipeProblem(path=("use",), message=message, plugin=True)) from None


def _choices(kind: Kind, registry: Registry) -> str:
    return f"installed for {kind}: {', '.join(registry.names(kind)) or 'none'}"


T = TypeVar("T")


def make_converter(registry: Registry) -> Converter:
    """A converter whose ``structure`` raises ProblemsFound with all problems, paths relative to its value."""
    converter = Converter()
    # Of the factories that know a type, the one registered last is asked: from the general to the special.
    converter.register_structure_hook_factory(lambda annotation: True, _unsupported)
    _register(converter, is_tuple, tuple_hook)
    _register(converter, is_mapping, mapping_hook)
    _register(converter, is_literal, literal_hook)
    _register(converter, is_union, union_hook)
    _register(converter, attrs.has, section_hook)
    converter.register_structure_hook_factory(is_slot, lambda cls: slot_hook(cls, converter, registry))
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
    made: T = section_hook(cls, make_converter(registry), owner)(value, cls)
    return made


def _register(converter: Converter, knows: Callable[[Any], bool], factory: Callable[[Any, Converter], Hook]) -> None:
    converter.register_structure_hook_factory(knows, lambda annotation: factory(annotation, converter))


def _unsupported(annotation: Any) -> Hook:
    raise PluginError(f"an option of type {annotation} cannot be written in a recipe")
