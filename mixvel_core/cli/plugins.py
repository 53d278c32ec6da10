"""mixvel plugins: what is installed, from where, its options, whether it passes its suite, and new projects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mixvel_core.cli.table import print_table
from mixvel_core.errors import ConformanceError, PluginError, UsageError, did_you_mean

if TYPE_CHECKING:
    from mixvel_core.plugin.discovery import Broken, Conflict, Entry, Registry


def check_entries(entries: Sequence[Entry]) -> None:
    """Runs the suite of each on its ``example()``, a line per check. Raises ConformanceError where one fails."""
    from mixvel_core.testing.check import run_checks

    broken = 0
    for entry in entries:
        typer.echo(f"{entry.kind} {entry.name}  ({entry.origin})")
        for result in run_checks(entry.kind, entry.definition.example):
            name = result.check.name.replace("_", " ")
            if result.error is None:
                typer.echo(f"  ok    {name:15}  {result.check.requirement}")
            else:
                broken += 1
                typer.echo(f"  FAIL  {name:15}  {result.what}\n        fix: {result.fix}")
    if broken:
        raise ConformanceError(
            f"{broken} check{'s' if broken > 1 else ''} failed", "the lines above with FAIL name each and its remedy"
        )


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What recipes will call it, for example near-means.")],
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help="What it is, for example router.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where its folder goes.")] = Path(),
) -> None:
    """Write a working plugin project, with its tests. Nothing is overwritten."""
    from mixvel_core.plugin.discovery import load_registry
    from mixvel_core.plugin.kinds import kind_called
    from mixvel_core.scaffold.project import new_project

    project = new_project(kind_called(kind), name, out)
    if name in load_registry().names(kind):
        raise UsageError(f"a {kind} called {name!r} is installed already; choose another name")
    for path in project.write():
        typer.echo(path)
    typer.echo(f'next: cd {project.folder} && pip install -e ".[test]" && pytest')


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
    from mixvel_core.plugin.discovery import load_registry

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
    from attrs import astuple

    from mixvel_core.recipe.describe import option_rows

    for index, entry in enumerate(_find(_registry(kind), name, kind)):
        typer.echo("\n" * bool(index) + f"{entry.kind} {entry.name}  ({entry.origin})\n{entry.definition.summary}")
        if rows := [astuple(row) for row in option_rows(entry.definition.options)]:
            print_table(("option", "type", "default", "range", "meaning"), rows)
        else:
            typer.echo("It has no options.")


@plugins_app.command()
def check(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A plugin; all of them if absent.")] = None,
    kind: Kind = None,
) -> None:
    """Run the conformance checks of a plugin's kind on its example; a line for each check."""
    registry = _registry(kind)
    if name is not None:
        check_entries(_find(registry, name, kind))
        return
    check_entries([entry for entry in registry.entries() if kind in (None, entry.kind)])
    flaws: list[Conflict | Broken] = [*registry.broken, *registry.conflicts]
    if lines := [str(flaw) for flaw in flaws if kind in (None, flaw.kind)]:
        raise PluginError("\n".join(lines))


def _registry(kind: str | None) -> Registry:
    """Everything installed. Raises UsageError where there is no such kind."""
    from mixvel_core.plugin.discovery import load_registry
    from mixvel_core.plugin.kinds import kind_called

    if kind is not None:
        kind_called(kind)
    return load_registry()


def _find(registry: Registry, name: str, kind: str | None) -> list[Entry]:
    entries = [entry for entry in registry.entries() if kind in (None, entry.kind)]
    if found := [entry for entry in entries if entry.name == name]:
        return found
    flaws: list[Conflict | Broken] = [*registry.conflicts, *registry.broken]
    for flawed in flaws:
        if flawed.name == name and kind in (None, flawed.kind):
            raise PluginError(str(flawed))
    what, hint = kind or "plugin", did_you_mean(name, [entry.name for entry in entries])
    raise PluginError(f"no {what} is called {name!r}{hint}; `mixvel plugins` lists all")
