"""The arguments that name an experiment, shared by the verbs that take a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    from mixvel_core.recipe.model import Recipe

RecipePath: TypeAlias = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.")]
Overrides: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY.PATH=VALUE", help="Options to set instead of what the recipe says."),
]
Out: TypeAlias = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="The run folder.", show_default="runs/NAME")
]

Smoke: TypeAlias = Annotated[
    bool, typer.Option("--smoke", help="The whole recipe at toy size, as its section `smoke` says; proves it works.")
]


def load(path: Path, overrides: list[str] | None, out: Path | None, *, smoke: bool = False) -> tuple[Recipe, Path]:
    """The checked recipe, at toy size if ``smoke``, and its run folder; says what both resolved to."""
    from mixvel_core.plugin.registry import load_registry
    from mixvel_core.recipe.resolve import load_recipe

    recipe = load_recipe(path, overrides or [], load_registry(), smoke=smoke)
    folder = out if out is not None else Path("runs") / recipe.name
    typer.echo(f"recipe      {path}\nrun folder  {folder}")
    if recipe.smoke:
        typer.echo("smoke       toy size: it shows that all works, and says nothing of quality")
    return recipe, folder
