"""The table of kinds: for each kind of plugin its hook, its protocol, its checks and the template of a new one.

Hook specifications, slots of recipes, ``mixvel plugins check`` and ``new`` and the documentation read this table. One
more kind is one row here, a protocol, a list of checks and a template; docs/write-a-plugin.md lists the steps.
Rows name their parts by import path, so that reading the table imports none of them.
"""

from __future__ import annotations

from typing import TypeAlias

from attrs import frozen

from mixvel_core.errors import UsageError, did_you_mean

Kind: TypeAlias = str
"""The name of a row, for example "router"."""


@frozen(kw_only=True)
class PluginKind:
    """One kind of plugin.

    ``name``: what a definition gives as ``kind``. ``hook``: the hook that returns definitions of this kind. ``title``:
    its heading in the documentation. ``protocol``: what its components implement, ``module:class``. ``checks``: the
    functions that test a component, ``module:sequence``; see ``mixvel_core.testing``. ``template``: the file that
    ``mixvel plugins new`` makes a component from, ``package:path``.
    """

    name: Kind
    hook: str
    title: str
    protocol: str
    checks: str
    template: str

    @property
    def protocol_name(self) -> str:
        """The class name of the protocol."""
        return self.protocol.partition(":")[2]


def _row(name: Kind, hook: str, title: str, protocol: str, checks: str) -> PluginKind:
    return PluginKind(
        name=name,
        hook=hook,
        title=title,
        protocol=f"mixvel_core.protocols:{protocol}",
        checks=f"mixvel_core.testing.{checks}:CHECKS",
        template=f"mixvel_core.scaffold:templates/{name}.py.jinja",
    )


KINDS: tuple[PluginKind, ...] = (
    _row("schedule", "mixvel_schedules", "Noise schedules", "NoiseSchedule", "schedules"),
    _row("expert", "mixvel_experts", "Expert families", "ExpertFamily", "experts"),
    _row("router", "mixvel_routers", "Router families", "RouterFamily", "routers"),
    _row("selector", "mixvel_selectors", "Selectors", "Selector", "selectors"),
    _row("integrator", "mixvel_integrators", "Integrators", "Integrator", "integrators"),
    _row("guidance", "mixvel_guidance", "Guidance", "Guidance", "guidance"),
    _row("data", "mixvel_data", "Data sources", "DataSource", "data_sources"),
    _row("partitioner", "mixvel_partitioners", "Partitioners", "Partitioner", "partitioners"),
    _row("codec", "mixvel_codecs", "Codecs", "CodecFamily", "codecs"),
    _row("metric", "mixvel_metrics", "Metrics", "Metric", "metrics"),
    _row("launcher", "mixvel_launchers", "Launchers", "Launcher", "launchers"),
)


def kind_names() -> tuple[Kind, ...]:
    """The names of all kinds, in the order of the table."""
    return tuple(row.name for row in KINDS)


def kind_called(name: str) -> PluginKind:
    """The row of a kind. Raises UsageError, with the nearest name, where there is none."""
    for row in KINDS:
        if row.name == name:
            return row
    names = kind_names()
    raise UsageError(f"no kind is called {name!r}{did_you_mean(name, names)}  (kinds: {', '.join(names)})")


def kind_implementing(protocol: type) -> Kind:
    """The name of the kind whose components implement ``protocol``. Raises LookupError where there is none."""
    wanted = protocol.__name__
    return next(row.name for row in KINDS if row.protocol_name == wanted)
