"""Every key that a recipe may have, from the classes that recipes are checked against."""

from __future__ import annotations

from mixvel_core.recipe.model import Recipe
from mixvel_core.recipe.reference import OptionRow, option_rows
from reference_pages.options import option_table

TOP = "At the top"


def recipe_keys() -> str:
    """A table for the keys at the top, and one for each section."""
    rows = list(option_rows(Recipe))
    sections = dict.fromkeys(_first(row) for row in rows if "." in row.path)
    groups = {TOP: [row for row in rows if _first(row) not in sections]}
    groups |= {f"`{section}`": [row for row in rows if _first(row) == section] for section in sections}
    return "\n".join(f"### {heading}\n\n{option_table(group)}\n" for heading, group in groups.items())


def _first(row: OptionRow) -> str:
    return row.path.partition(".")[0]
