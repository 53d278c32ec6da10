"""mixvel check: everything that can be known of a recipe without running it."""

from __future__ import annotations

import typer

from mixvel_core.cli.arguments import Out, Overrides, RecipePath, Smoke, load


def check(recipe: RecipePath, overrides: Overrides = None, out: Out = None, smoke: Smoke = False) -> None:
    """Show every problem of a recipe, or else its plan."""
    checked, folder = load(recipe, overrides, out, smoke=smoke)
    from mixvel_core.plan import plan

    typer.echo(str(plan(checked, folder)))
