"""The kinds of plugins, each with its hook and its protocol, as the types of the hooks and of the slots say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

from attrs import frozen

from mixvel_core.plugin.definition import Kind, Specs, Use
from mixvel_core.recipe.describe import describe_type
from reference_pages.markdown import anchor


@frozen(kw_only=True)
class KindRow:
    """``title``: its heading on the page of plugins. ``described``: what messages call a slot of this kind."""

    kind: Kind
    hook: str
    protocol: str
    title: str
    described: str

    @property
    def place(self) -> str:
        """Where the plugins of this kind stand."""
        return f"plugins.md#{anchor(self.title)}"


def kinds() -> Iterator[KindRow]:
    """All kinds, in the order of their hooks."""
    slots = {get_args(slot.__dict__["__orig_bases__"][0])[0]: slot for slot in Use.__subclasses__()}
    for name, hook in vars(Specs).items():
        if name.startswith("mixvel_"):
            protocol = _protocol(hook)
            slot: Any = slots[protocol]
            yield KindRow(
                kind=slot.kind,
                hook=name,
                protocol=protocol.__name__,
                title=(hook.__doc__ or "").strip().rstrip("."),
                described=describe_type(slot),
            )


def _protocol(hook: Any) -> type:
    """NoiseSchedule, of a hook that returns Sequence[PluginDef[Any, NoiseSchedule]]."""
    [definition] = get_args(get_type_hints(hook)["return"])
    _, protocol = get_args(definition)
    found: type = protocol
    return found
