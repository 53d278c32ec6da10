"""Tables of the command line. A file of its own: nothing here costs the command line's start any time."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints ``rows`` under ``header``; piped, no line is cut or wrapped."""
    if not sys.stdout.isatty():
        from mixvel_core.recipe.problems import aligned

        for line in aligned([header, *rows]):
            typer.echo(line)
        return
    # 50 ms of import that a pipe does not need.
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*header, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        # As Text, because square brackets in a plain string are markup to rich.
        table.add_row(*map(Text, row))
    Console().print(table)
