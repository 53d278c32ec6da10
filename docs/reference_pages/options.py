"""Options as a table: the rows of ``option_rows``, with links from slots to what can stand there."""

from __future__ import annotations

from collections.abc import Iterable

from mixvel_core.plugin.kinds import KINDS
from mixvel_core.recipe.describe import OptionRow, describe_slot
from reference_pages.kinds import place_of
from reference_pages.markdown import plain, table

HEADER = ("key", "what it is", "default", "meaning")
IN_WORDS = ("required", "depends on the others")
"""What ``option_rows`` says where there is no default to write."""


def option_table(rows: Iterable[OptionRow]) -> str:
    """A row an option."""
    return table(HEADER, [_cells(row) for row in rows])


def _cells(row: OptionRow) -> tuple[str, ...]:
    return f"`{row.path}`", _type(row), _default(row), plain(row.doc)


def _type(row: OptionRow) -> str:
    text = row.type
    for kind in KINDS:
        described = describe_slot(kind.name)
        words = described.partition(" (")[0]
        text = text.replace(described, f"[{words}]({place_of(kind)})")
    return f"{text}; {plain(row.range)}" if row.range else text


def _default(row: OptionRow) -> str:
    return row.default if row.default in IN_WORDS else f"`{row.default}`"
