"""mixvel plugins new: a plugin project that works, to begin from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixvel_core.errors import UsageError
from mixvel_core.spelling import did_you_mean


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What recipes will call it, for example near-means.")],
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help="What it is, for example router.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where its folder goes.")] = Path(),
) -> None:
    """Write a working plugin project, with its tests. Nothing is overwritten."""
    from mixvel_core.plugin.definition import KINDS
    from mixvel_core.plugin.registry import load_registry
    from mixvel_core.scaffold.project import new_project

    known = {one: one for one in KINDS}
    if kind not in known:
        raise UsageError(f"no kind is called {kind!r}{did_you_mean(kind, KINDS)}  (kinds: {', '.join(KINDS)})")
    project = new_project(known[kind], name, out)
    if name in load_registry().names(project.kind):
        raise UsageError(f"a {kind} called {name!r} is installed already; choose another name")
    for path in project.write():
        typer.echo(path)
    typer.echo(f'next: cd {project.folder} && pip install -e ".[test]" && pytest')
