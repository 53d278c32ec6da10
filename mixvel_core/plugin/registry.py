"""Registry: the plugins that are installed, by kind and name."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import groupby

from attrs import frozen

from mixvel_core.errors import PluginError
from mixvel_core.plugin.definition import Kind
from mixvel_core.plugin.loader import Source, installed, load_all
from mixvel_core.plugin.records import AnyDef, Broken, Conflict, Entry
from mixvel_core.spelling import did_you_mean


@frozen(kw_only=True)
class Registry:
    """What was found. ``found`` is sorted by kind, name and distribution; ``broken`` cannot be used."""

    found: tuple[Entry, ...]
    broken: tuple[Broken, ...] = ()

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """Names that are claimed more than once."""
        return tuple(
            Conflict(kind=kind, name=name, entries=claims)
            for (kind, name), claims in self._by_name()
            if len(claims) > 1
        )

    def entries(self, kind: Kind | None = None) -> tuple[Entry, ...]:
        """The definitions that can be used, of one kind or of all, sorted by kind and name."""
        return tuple(claims[0] for (k, _), claims in self._by_name() if len(claims) == 1 and kind in (None, k))

    def names(self, kind: Kind) -> tuple[str, ...]:
        """The names that a recipe may use for a kind."""
        return tuple(entry.name for entry in self.entries(kind))

    def get(self, kind: Kind, name: str) -> AnyDef:
        """The definition of a name.

        Raises PluginError: the name is unknown (with the nearest ones, and which plugins are broken, for the name
        may be theirs), broken, or claimed twice.
        """
        for entry in self.entries(kind):
            if entry.name == name:
                return entry.definition
        for conflict in self.conflicts:
            if (conflict.kind, conflict.name) == (kind, name):
                raise PluginError(str(conflict))
        for broken in self.broken:
            if (broken.kind, broken.name) == (kind, name):
                raise PluginError(f"broken plugin {broken}")
        raise PluginError(self._unknown(kind, name))

    def _unknown(self, kind: Kind, name: str) -> str:
        names = self.names(kind)
        listed = f"installed for {kind}: {', '.join(names)}" if names else f"no plugin for {kind} is installed"
        text = f"no {kind} is called {name!r}{did_you_mean(name, names)}  ({listed})"
        whole = [str(broken) for broken in self.broken if broken.name is None]
        return text + (f"  (or it is in a broken plugin: {'; '.join(whole)})" if whole else "")

    def _by_name(self) -> list[tuple[tuple[Kind, str], tuple[Entry, ...]]]:
        ordered = groupby(self.found, key=lambda entry: (entry.kind, entry.name))
        return [(key, tuple(claims)) for key, claims in ordered]


def make_registry(sources: Iterable[Source]) -> Registry:
    """The registry of the plugins in ``sources``."""
    entries, broken = load_all(sources)
    ordered = sorted(entries, key=lambda e: (e.kind, e.name, e.distribution, e.version))
    return Registry(found=tuple(ordered), broken=tuple(broken))


@cache
def load_registry() -> Registry:
    """The registry of everything installed. Read once a process: what is installed does not change under it."""
    return make_registry(installed())
