"""The table of scores that `mixvel run` ends with: methods and step counts, with what a sample costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mixvel_core.cli.table import print_table

if TYPE_CHECKING:
    from mixvel_core.report.tables import ScoreCell, ScoreTable


def print_scores(folder: Path, methods: Sequence[str], steps: Sequence[int]) -> None:
    """Prints the scores of what a run was asked last; nothing where it has none."""
    from mixvel_core.pipeline.scores import SCORES_FILE, read_scores
    from mixvel_core.report.tables import score_tables

    if not (folder / SCORES_FILE).exists():
        return
    found = read_scores(folder)
    methods = found.asked or methods
    tables = [table for table in score_tables(found, methods, steps) if table.rows]
    if not tables:
        return
    rows = [line for method in methods for n in steps if (line := _line(tables, method, n)) is not None]
    for name, values in (("real against real", [t.floor for t in tables]), ("pure noise", [t.noise for t in tables])):
        rows.append((name, *[""] * 4, *("–" if value is None else f"{value:.4g}" for value in values)))
    devices = "; ".join(sorted({row["device"] for row in found.timings if row["device"]}))
    typer.echo("")
    print_table(("method", "steps", "time", "FLOP", "evaluations", *(table.metric for table in tables)), rows)
    typer.echo(f"time, FLOPs and evaluations are of one sample{f'; on {devices}' if devices else ''}")
    places = {(row["method"], row["steps"]) for row in found.rows}
    if earlier := len(places - {(method, n) for method in methods for n in steps}):
        typer.echo(f"{earlier} more rows, of what was asked before, are in {folder / 'report' / 'index.html'}")


def _line(tables: Sequence[ScoreTable], method: str, steps: int) -> tuple[str, ...] | None:
    from mixvel_core.cost.quantities import amount, duration

    cells = [_cell(table, method, steps) for table in tables]
    known = next((cell for cell in cells if cell is not None), None)
    if known is None:
        return None
    cost = duration(known.seconds), amount(known.flops), f"{known.evaluations:.4g}"
    return (method, str(steps), *cost, *("–" if cell is None else _text(cell) for cell in cells))


def _cell(table: ScoreTable, method: str, steps: int) -> ScoreCell | None:
    rows = {row.method: row.cells for row in table.rows}
    return rows[method][table.steps.index(steps)] if method in rows else None


def _text(cell: ScoreCell) -> str:
    return f"{cell.mean:.4g}" if cell.spread is None else f"{cell.mean:.4g} ± {cell.spread:.2g}"
