"""Every key that a recipe may have, from the classes that recipes are checked against."""

from __future__ import annotations

from mixvel_core.recipe.describe import OptionRow, option_rows
from mixvel_core.recipe.model import Recipe
from reference_pages.options import option_table

TOP = "At the top"


def recipe_keys() -> str:
    """A table for the keys at the top, and one for each section, those of a section after it."""
    groups: dict[str, list[OptionRow]] = {"": []}
    for row in option_rows(Recipe):
        section, _, _ = row.path.rpartition(".")
        groups.setdefault(section, []).append(row)
    return "\n".join(_part(section, rows) for section, rows in groups.items())


def _part(section: str, rows: list[OptionRow]) -> str:
    heading = f"`{section}`" if section else TOP
    return f"### {heading}\n\n{option_table(rows)}\n"
