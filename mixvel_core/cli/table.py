"""Tables: drawn by rich in a terminal, plain aligned columns in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from mixvel_core.cost.text import aligned


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints ``rows`` under ``header``; piped, no line is cut or wrapped."""
    if sys.stdout.isatty():
        _draw(header, rows)
        return
    for line in aligned([header, *rows]):
        typer.echo(line)


def _draw(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    # 50 ms of import that a pipe does not need.
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*header, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        # As Text, because square brackets in a plain string are markup to rich.
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
