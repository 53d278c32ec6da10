"""mixvel plugins: what is installed, from where, what can be chosen, and whether it keeps its promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mixvel_core.cli.plugins_new import new
from mixvel_core.cli.table import print_table
from mixvel_core.errors import PluginError, UsageError
from mixvel_core.spelling import did_you_mean

if TYPE_CHECKING:
    from mixvel_core.plugin.records import Broken, Conflict, Entry
    from mixvel_core.plugin.registry import Registry

plugins_app = typer.Typer(
    invoke_without_command=True, help="List the plugins that are installed, show or check one, or begin a new one."
)
plugins_app.command()(new)
Kind = Annotated[str | None, typer.Option("--kind", metavar="KIND", help="Which kind, where several share the name.")]


@plugins_app.callback()
def plugins(ctx: typer.Context) -> None:
    """List the plugins that are installed, show or check one, or begin a new one."""
    if ctx.invoked_subcommand is not None:
        return
    from mixvel_core.plugin.registry import load_registry

    registry = load_registry()
    rows = [(e.kind, e.name, e.definition.summary, e.distribution, e.version) for e in registry.entries()]
    print_table(("kind", "name", "summary", "distribution", "version"), rows)
    for broken in registry.broken:
        typer.echo(f"broken: {broken}")
    for conflict in registry.conflicts:
        typer.echo(f"conflict: {conflict}")


@plugins_app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that `mixvel plugins` lists.")],
    kind: Kind = None,
) -> None:
    """Show every option of a plugin: type, default, range and meaning."""
    from mixvel_core.plugin.registry import load_registry

    _check_kind(kind)
    for index, entry in enumerate(_find(load_registry(), name, kind)):
        typer.echo("\n" * bool(index) + f"{entry.kind} {entry.name}  ({entry.origin})\n{entry.definition.summary}")
        _print_options(entry)


@plugins_app.command()
def check(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A plugin; all of them if absent.")] = None,
    kind: Kind = None,
) -> None:
    """Run the conformance checks of a plugin's kind on its example; a line for each promise."""
    from mixvel_core.cli.plugins_check import check_entries
    from mixvel_core.plugin.registry import load_registry

    _check_kind(kind)
    registry = load_registry()
    if name is not None:
        check_entries(_find(registry, name, kind))
        return
    check_entries([entry for entry in registry.entries() if kind in (None, entry.kind)])
    flaws: list[Conflict | Broken] = [*registry.broken, *registry.conflicts]
    if lines := [str(flaw) for flaw in flaws if kind in (None, flaw.kind)]:
        raise PluginError("\n".join(lines))


def _check_kind(kind: str | None) -> None:
    from mixvel_core.plugin.definition import KINDS

    if kind is not None and kind not in KINDS:
        raise UsageError(f"no kind is called {kind!r}{did_you_mean(kind, KINDS)}  (kinds: {', '.join(KINDS)})")


def _find(registry: Registry, name: str, kind: str | None) -> list[Entry]:
    entries = [entry for entry in registry.entries() if kind in (None, entry.kind)]
    if found := [entry for entry in entries if entry.name == name]:
        return found
    flaws: list[Conflict | Broken] = [*registry.conflicts, *registry.broken]
    for flawed in flaws:
        if flawed.name == name and kind in (None, flawed.kind):
            raise PluginError(str(flawed))
    what = kind or "plugin"
    raise PluginError(
        f"no {what} is called {name!r}{did_you_mean(name, [e.name for e in entries])}; `mixvel plugins` lists all"
    )


def _print_options(entry: Entry) -> None:
    from mixvel_core.recipe.reference import option_rows

    rows = [(row.path, row.type, row.default, row.range, row.doc) for row in option_rows(entry.definition.options)]
    if rows:
        print_table(("option", "type", "default", "range", "meaning"), rows)
    else:
        typer.echo("It has no options.")
