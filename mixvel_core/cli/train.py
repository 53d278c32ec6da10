"""mixvel train: one owner trains one expert on its own data alone."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated, Literal

import typer

from mixvel_core.cli.arguments import Overrides, RecipePath


def train(
    recipe: RecipePath,
    expert: Annotated[int, typer.Option("--expert", metavar="K", help="Which expert it will be.", min=0)],
    overrides: Overrides = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="What is handed over.", show_default="silos/NAME-expert-K"),
    ] = None,
    share: Annotated[
        Literal["count", "moments"],
        typer.Option("--share", help="What is told of the data: their count, or also their mean and variance."),
    ] = "moments",
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over instead of going on.")] = False,
) -> None:
    """Train one expert on all of the recipe's data, and write a folder with the expert and nothing else of them."""
    from mixvel_core.plugin.registry import load_registry
    from mixvel_core.recipe.resolve import load_recipe

    checked = load_recipe(recipe, overrides or [], load_registry())
    folder = out if out is not None else Path("silos") / f"{checked.name}-expert-{expert}"
    typer.echo(f"recipe      {recipe}\nhanded over {folder}\nstays here  {folder}.training")
    from mixvel_core.cli.progress import shown_progress
    from mixvel_core.silo import train_expert

    # A machine that is taken away says SIGTERM first; that is as good a reason to save as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with shown_progress() as progress:
        train_expert(checked, expert, folder, share=share, fresh=fresh, progress=progress)
