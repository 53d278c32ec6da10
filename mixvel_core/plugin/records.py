"""What the loader finds: a usable definition, or something broken, each with the distribution it is from."""

from __future__ import annotations

from typing import Any, TypeAlias

from attrs import frozen

from mixvel_core.plugin.definition import Kind, PluginDef

# Where definitions of all kinds stand side by side, their options and components have no common type.
AnyDef: TypeAlias = PluginDef[Any, Any]


@frozen(kw_only=True)
class Entry:
    """A definition and where it is from."""

    definition: AnyDef
    distribution: str
    version: str

    @property
    def kind(self) -> Kind:
        """The definition's kind."""
        return self.definition.kind

    @property
    def name(self) -> str:
        """The definition's name."""
        return self.definition.name

    @property
    def origin(self) -> str:
        """Distribution and version, as in "mixvel 0.1.0"."""
        return f"{self.distribution} {self.version}".strip()


@frozen(kw_only=True)
class Broken:
    """A module, or one definition of it, that cannot be used. ``kind`` and ``name`` where they are known."""

    module: str
    distribution: str
    version: str
    reason: str
    kind: Kind | None = None
    name: str | None = None

    def __str__(self) -> str:
        what = " ".join(part for part in (self.kind, self.name) if part) or self.module
        return f"{what} of {self.distribution} {self.version}".strip() + f": {self.reason}"


@frozen(kw_only=True)
class Conflict:
    """A name of one kind that several definitions claim; none of them is used."""

    kind: Kind
    name: str
    entries: tuple[Entry, ...]

    def __str__(self) -> str:
        origins = " and ".join(entry.origin for entry in self.entries)
        return f"{self.kind} {self.name} is claimed by {origins}; uninstall all but one"
