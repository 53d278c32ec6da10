"""mixvel run: a recipe from data to report."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from mixvel_core.cli.arguments import Out, Overrides, RecipePath, Smoke, load


def run(
    recipe: RecipePath,
    overrides: Overrides = None,
    out: Out = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and stop.")] = False,
    smoke: Smoke = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over instead of going on.")] = False,
    stage: Annotated[
        str | None, typer.Option("--stage", metavar="NAME", help="Run this stage and what it needs, no more.")
    ] = None,
    expert: Annotated[int | None, typer.Option("--expert", metavar="K", help="Train expert K alone.", min=0)] = None,
) -> None:
    """Run a recipe. The same line again goes on where it stopped, and does nothing where all is done."""
    checked, folder = load(recipe, overrides, out, smoke=smoke)
    if dry_run:
        from mixvel_core.plan import plan

        typer.echo(str(plan(checked, folder, fresh)))
        return
    from mixvel_core import pipeline
    from mixvel_core.cli.progress import shown_progress

    # A machine that is taken away says SIGTERM first; that is as good a reason to save as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with shown_progress() as progress:
        pipeline.run(checked, folder, progress=progress, fresh=fresh, stage=stage, expert=expert)
