"""Plugin slots: ``{use: NAME, option: value, ...}``, or NAME alone, to a Use with checked options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cattrs import Converter

from mixvel_core.errors import PluginError
from mixvel_core.plugin.definition import Kind
from mixvel_core.plugin.records import AnyDef
from mixvel_core.plugin.registry import Registry
from mixvel_core.recipe.problems import KeyPath, Problem, ProblemsFound
from mixvel_core.recipe.sections import section_hook
from mixvel_core.recipe.use import Use
from mixvel_core.recipe.values import Hook, wrong


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
            raise ProblemsFound(Problem(path=("use",), message=message))
        definition = _definition(kind, name, registry, ("use",))
        options = {key: item for key, item in value.items() if key != "use"}
        return cls(definition=definition, options=_options(definition, options, converter))

    return hook


def _definition(kind: Kind, name: str, registry: Registry, path: KeyPath) -> AnyDef:
    try:
        return registry.get(kind, name)
    except PluginError as error:
        raise ProblemsFound(Problem(path=path, message=str(error), plugin=True)) from None


def _options(definition: AnyDef, options: Mapping[str, Any], converter: Converter) -> Any:
    try:
        return section_hook(definition.options, converter, owner=definition.name)(options, definition.options)
    # The options class itself cannot be read: that is the plugin's fault, not the recipe's.
    except PluginError as error:
        message = f"broken plugin {definition.name}: {error}"
        raise ProblemsFound(Problem(path=("use",), message=message, plugin=True)) from None


def _choices(kind: Kind, registry: Registry) -> str:
    return f"installed for {kind}: {', '.join(registry.names(kind)) or 'none'}"
