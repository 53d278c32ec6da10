"""mixvel recipes: the recipes that come with mixvel."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from mixvel_core.cli.table import print_table
from mixvel_core.errors import DataError, UsageError, did_you_mean

recipes_app = typer.Typer(invoke_without_command=True, help="List the recipes that come with mixvel, or copy one.")


@recipes_app.callback()
def recipes(ctx: typer.Context) -> None:
    """List the recipes that come with mixvel, or copy one."""
    if ctx.invoked_subcommand is None:
        print_table(("recipe", "what it is"), [(path.stem, _first_comment(path)) for path in _shipped()])


@recipes_app.command()
def cp(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that `mixvel recipes` lists.")],
    dest: Annotated[Path, typer.Argument(metavar="[DEST]", help="A file or a folder.", show_default=False)] = Path(),
) -> None:
    """Copy a recipe, to change it. Nothing is overwritten."""
    known = {path.stem: path for path in _shipped()}
    source = known.get(name.removesuffix(".yaml"))
    if source is None:
        hint = did_you_mean(name, known)
        raise UsageError(f"no recipe is called {name!r}{hint}  (recipes: {', '.join(known)})")
    target = dest / source.name if dest.is_dir() else dest
    if target.exists():
        raise UsageError(f"{target}: is there already; name another place or remove it")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    typer.echo(f"copied to {target}; `mixvel run {target}` runs it")


def _shipped() -> list[Path]:
    beside = Path(__file__).resolve().parents[2]
    # In a source checkout they lie in recipes/; a wheel puts them beside the package under a name of their own.
    folders = [beside / "recipes"] if (beside / "pyproject.toml").exists() else []
    for folder in (*folders, beside / "mixvel_recipes"):
        if found := sorted(folder.glob("*.yaml")):
            return found
    raise DataError("the recipes that come with mixvel are not where it is installed; install mixvel again")


def _first_comment(path: Path) -> str:
    with path.open(encoding="utf-8") as lines:
        return next((line.strip("# \n") for line in lines if line.startswith("#")), "")
