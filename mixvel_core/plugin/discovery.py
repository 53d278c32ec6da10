"""Discovery: plugin modules found by entry point and imported one by one, so that a bad plugin harms only itself.

Entry points are enumerated here and not by pluggy, whose own loader stops at the first import error and lets
a second distribution replace a name without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib.metadata import entry_points
from itertools import groupby
from typing import Any, TypeAlias

import attrs
import pluggy
from attrs import frozen

from mixvel_core.errors import PluginError, did_you_mean
from mixvel_core.plugin import kinds
from mixvel_core.plugin.definition import CONTRACT, PROJECT, PluginDef, Target, hook_specs, is_name
from mixvel_core.plugin.kinds import Kind

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
        """The kind of the plugin, a row of the table of kinds."""
        return self.definition.kind

    @property
    def name(self) -> str:
        """The name that recipes use for the plugin."""
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


@frozen(kw_only=True)
class PluginSource:
    """A module that may hold plugins: an entry point and the distribution it belongs to."""

    name: str
    module: str
    distribution: str
    version: str
    load: Callable[[], object]


def installed() -> list[PluginSource]:
    """The entry points of group ``mixvel`` of every installed distribution, in a fixed order."""
    sources = [
        PluginSource(
            name=point.name,
            module=point.value,
            distribution=point.dist.name if point.dist else "unknown",
            version=point.dist.version if point.dist else "",
            load=point.load,
        )
        for point in entry_points(group=PROJECT)
    ]
    # A folder that stands twice on the path offers its entry points twice.
    different = {(s.distribution, s.name, s.module): s for s in sources}
    return [different[key] for key in sorted(different)]


def load(source: PluginSource) -> Iterator[Entry | Broken]:
    """Everything one module offers; what cannot be used comes as Broken, with the reason in a line."""
    where = {"module": source.module, "distribution": source.distribution, "version": source.version}
    try:
        returned = _call_hooks(source)
    # A module that calls sys.exit() while it is imported is broken too, and must not end the program.
    except (Exception, SystemExit) as error:
        yield Broken(**where, reason=_one_line(error))
        return
    if not returned:
        fix = "are its hooks named as in docs/protocols.md and decorated with @hookimpl?"
        yield Broken(**where, reason=f"it offers no plugin; {fix}")
    for kind, definition in returned:
        fault = _fault(kind, definition, source.distribution)
        if fault is None and isinstance(definition, PluginDef):
            yield Entry(definition=definition, distribution=source.distribution, version=source.version)
        else:
            name = definition.name if isinstance(definition, PluginDef) else None
            yield Broken(**where, reason=fault or "", kind=kind, name=name if isinstance(name, str) else None)


def _call_hooks(source: PluginSource) -> list[tuple[Kind, object]]:
    # A manager for each module: an unknown hook is then this module's fault, and its results are its own.
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hook_specs())
    manager.register(source.load(), name=source.name)
    manager.check_pending()
    found: list[tuple[Kind, object]] = []
    for row in kinds.KINDS:
        for result in vars(manager.hook)[row.hook]():
            if not isinstance(result, Sequence) or isinstance(result, str):
                raise TypeError(f"{row.hook} must return a list of PluginDef, not {type(result).__name__}")
            found += [(row.name, definition) for definition in result]
    return found


def _fault(kind: Kind, definition: object, distribution: str) -> str | None:
    """Why a definition cannot be used, or None."""
    if not isinstance(definition, PluginDef):
        return f"a hook of {kind} returned {type(definition).__name__}, not PluginDef"
    if (fault := _contract_fault(definition.contract, distribution)) is not None:
        return fault
    if definition.kind != kind:
        return f"returned by the hook of {kind}, and its kind is {definition.kind}"
    if not isinstance(definition.name, str) or not is_name(definition.name):
        return f"{definition.name!r} is not a name; use letters, digits and hyphens"
    if isinstance(definition.build, Target) and ":" not in definition.build.path:
        return "it has neither a `target`, `module:name`, nor `build`"
    if not isinstance(definition.options, type) or not attrs.has(definition.options):
        return "its options are not an attrs class"
    if any(field.alias == "use" for field in attrs.fields(definition.options)):
        return "an option is called `use`, which a recipe keeps for the plugin's name"
    return None


def _contract_fault(contract: object, distribution: str) -> str | None:
    """Why a definition does not fit the protocols of this mixvel, or None. mixvel's own go with its version."""
    if contract == CONTRACT or (contract is None and distribution == PROJECT):
        return None
    if contract is None:
        return f"it does not give the contract it is written for; see CHANGELOG.md, then add `contract={CONTRACT}`"
    older = isinstance(contract, int) and contract < CONTRACT
    remedy = "install a version of the plugin for it, or see CHANGELOG.md" if older else "install a newer mixvel"
    return f"written for contract {contract}, mixvel has {CONTRACT}; {remedy}"


def _one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


@frozen(kw_only=True)
class Registry:
    """What was found. ``found`` is sorted by kind, name and distribution; ``broken`` cannot be used."""

    found: tuple[Entry, ...]
    broken: tuple[Broken, ...] = ()

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """Names that are claimed more than once."""
        claimed = ((key, claims) for key, claims in self._by_name() if len(claims) > 1)
        return tuple(Conflict(kind=kind, name=name, entries=claims) for (kind, name), claims in claimed)

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
        names = self.names(kind)
        listed = f"installed for {kind}: {', '.join(names)}" if names else f"no plugin for {kind} is installed"
        modules = "; ".join(str(broken) for broken in self.broken if broken.name is None)
        raise PluginError(
            f"no {kind} is called {name!r}{did_you_mean(name, names)}  ({listed})"
            + (f"  (or it is in a broken plugin: {modules})" if modules else "")
        )

    def _by_name(self) -> list[tuple[tuple[Kind, str], tuple[Entry, ...]]]:
        ordered = groupby(self.found, key=lambda entry: (entry.kind, entry.name))
        return [(key, tuple(claims)) for key, claims in ordered]


def make_registry(sources: Iterable[PluginSource]) -> Registry:
    """The registry of the plugins in ``sources``."""
    results = [result for source in sources for result in load(source)]
    entries = [result for result in results if isinstance(result, Entry)]
    return Registry(
        found=tuple(sorted(entries, key=lambda e: (e.kind, e.name, e.distribution, e.version))),
        broken=tuple(result for result in results if isinstance(result, Broken)),
    )


@cache
def load_registry() -> Registry:
    """The registry of everything installed. Read once a process: what is installed does not change under it."""
    return make_registry(installed())
