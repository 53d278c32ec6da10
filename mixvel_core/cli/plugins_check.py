"""mixvel plugins check: whether plugins keep what their protocols promise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from mixvel_core.errors import ConformanceError

if TYPE_CHECKING:
    from mixvel_core.plugin.records import Entry


def check_entries(entries: Sequence[Entry]) -> None:
    """Runs the suite of each on its ``example()``, a line per check. Raises ConformanceError where one fails."""
    from mixvel_core.testing.check import run_checks

    broken = 0
    for entry in entries:
        typer.echo(f"{entry.kind} {entry.name}  ({entry.origin})")
        for result in run_checks(entry.kind, entry.definition.example):
            name = result.check.name.replace("_", " ")
            if result.error is None:
                typer.echo(f"  ok    {name:15}  {result.check.promise}")
            else:
                broken += 1
                typer.echo(f"  FAIL  {name:15}  {result.what}\n        fix: {result.fix}")
    if broken:
        promises = "promise is" if broken == 1 else "promises are"
        raise ConformanceError(
            f"{broken} {promises} not kept", "the lines above that say FAIL name each and its remedy"
        )
