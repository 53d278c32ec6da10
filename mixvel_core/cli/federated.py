"""mixvel train and mixvel assemble: one owner trains one expert on its own data; experts of several owners to a run."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from mixvel_core.cli.run import Overrides, RecipePath
from mixvel_core.errors import UsageError


def train(
    recipe: RecipePath,
    expert: Annotated[int, typer.Option("--expert", metavar="K", help="Which expert it will be.", min=0)],
    overrides: Overrides = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The folder to hand over.", show_default="silos/NAME-expert-K"),
    ] = None,
    share: Annotated[
        str,
        typer.Option(
            "--share",
            metavar="count|moments|rank=R|components=J[,labels]",
            help="What is shared of the data: their count; their mean and variance too; R principal components too; or "
            "J k-means Gaussians too; with ,labels behind it how many items each class has.",
        ),
    ] = "moments",
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over instead of going on.")] = False,
) -> None:
    """Train one expert on all of the recipe's data, and write a folder with the expert and nothing else of them."""
    from mixvel_core.federated.share import share_of
    from mixvel_core.plugin.discovery import load_registry
    from mixvel_core.recipe.resolve import load_recipe

    try:
        shared = share_of(share)
    except ValueError as error:
        raise UsageError(f"--share: {error}") from None

    checked = load_recipe(recipe, overrides or [], load_registry())
    folder = out if out is not None else Path("silos") / f"{checked.name}-expert-{expert}"
    typer.echo(f"recipe      {recipe}\nto export   {folder}\nstays here  {folder}.training")
    from mixvel_core.cli.output import shown_progress
    from mixvel_core.federated.train import train_expert

    # A machine that is taken away sends SIGTERM first; that is as good a reason to save as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with shown_progress() as progress:
        train_expert(checked, expert, folder, share=shared, fresh=fresh, progress=progress)


def assemble(
    experts: Annotated[
        list[str],
        typer.Argument(
            metavar="EXPERT_DIR... [KEY.PATH=VALUE...]",
            help="Folders that `mixvel train` wrote, or RUN/experts/K; and options to set instead of the recipe's.",
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
    from mixvel_core.cli.output import shown_progress
    from mixvel_core.federated.assemble import assemble as assemble_run

    overrides = [word for word in experts if is_override(word)]
    folders = [Path(word) for word in experts if word not in overrides]
    with shown_progress() as progress:
        assemble_run(folders, out, recipe=recipe, overrides=overrides, progress=progress)
    typer.echo(f"run folder: {out}; `mixvel run {out / 'recipe.yaml'} --out {out}` goes on with it")


def is_override(word: str) -> bool:
    """Whether it sets an option; folders may have an equals sign in their names, and keys have no slash."""
    key, equals, _ = word.partition("=")
    return bool(equals) and os.sep not in key and not Path(word).is_dir()
