"""mixvel assemble: experts of several owners to a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def assemble(
    experts: Annotated[
        list[str],
        typer.Argument(
            metavar="EXPERT_DIR... [KEY.PATH=VALUE...]",
            help="Folders that `mixvel train` wrote, and options to set instead of what the recipe says.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="RUN", help="The run folder.")],
    recipe: Annotated[
        Path | None,
        typer.Option(
            "--recipe", metavar="RECIPE", help="Says what to route, sample and score.", show_default="the usual"
        ),
    ] = None,
) -> None:
    """Make a run of experts that were trained apart. Nothing is trained, and no data are needed."""
    from mixvel_core.assembly import assemble as assemble_run
    from mixvel_core.cli.progress import shown_progress

    folders = [Path(word) for word in experts if "=" not in word or Path(word).is_dir()]
    overrides = [word for word in experts if "=" in word and not Path(word).is_dir()]
    with shown_progress() as progress:
        assemble_run(folders, out, recipe=recipe, overrides=overrides, progress=progress)
    typer.echo(f"run folder: {out}; `mixvel run {out / 'recipe.yaml'} --out {out}` goes on with it")
