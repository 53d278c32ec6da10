"""mixvel export: a run as a folder that diffusers loads as a pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixvel_core.cli.run import Classes, GuidanceOption, Overrides, condition_options


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The folder to write.")],
    overrides: Overrides = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method", metavar="NAME", help="A row of the recipe's table.", show_default="as `mixvel sample` samples"
        ),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="Integrator steps, which calls may change.", min=1)] = 20,
    selector: Annotated[
        str | None, typer.Option("--selector", metavar="NAME", help="A selector.", show_default="the row's")
    ] = None,
    integrator: Annotated[
        str | None, typer.Option("--integrator", metavar="NAME", help="An integrator.", show_default="the row's")
    ] = None,
    grid: Annotated[
        str | None, typer.Option("--grid", metavar="NAME", help="The time grid by name.", show_default="the row's")
    ] = None,
    router: Annotated[
        str | None, typer.Option("--router", metavar="NAME", help="A router of the run.", show_default="the row's")
    ] = None,
    monolith: Annotated[bool, typer.Option("--monolith", help="Export the monolith instead of the experts.")] = False,
    classes: Classes = None,
    guidance: GuidanceOption = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace an exported folder, and a repository, that are there.")
    ] = False,
    push: Annotated[
        str | None, typer.Option("--push", metavar="OWNER/NAME", help="Upload it to the Hugging Face Hub, private.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="With --push: for everybody to read.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read all bytes of the run, not only of files whose size or time changed.")
    ] = False,
) -> None:
    """Write a folder that diffusers loads as a pipeline, with the samples of `mixvel sample` and a model card."""
    from mixvel_core.cli.output import shown_progress
    from mixvel_core.export import push as hub
    from mixvel_core.export.write import export_run, places_of

    chosen: dict[str, str | None] = {
        "selector": selector,
        "integrator": integrator,
        "grid": grid,
        "steps": f"[{steps}]",
    }
    chosen |= condition_options(classes, guidance)
    options = [*(f"sample.{key}={value}" for key, value in chosen.items() if value is not None), *(overrides or [])]
    if push is not None:
        hub.check_repo(push)
    with shown_progress() as progress:
        folder = export_run(
            run,
            to,
            options,
            method=method,
            router=router,
            monolith=monolith,
            replace=replace,
            verify=verify,
            progress=progress,
        )
    typer.echo(str(folder))
    for place in places_of(folder):
        typer.echo(f"names a path of this machine: {place}")
    if push is not None:
        typer.echo(hub.push(folder, push, public=public, replace=replace))
