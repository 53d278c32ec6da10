"""The scores of a run as a section of a model card: every row that was asked last, beside its cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mixvel_core.pipeline.opened import Run
from mixvel_core.pipeline.scores import SCORES_FILE, read_scores
from mixvel_core.report.tables import ScoreCell, ScoreTable, score_tables


def scores_section(run: Run, row: str | None) -> Iterator[str]:
    """The lines of the section. ``row``: the one that is exported, None where it is none of the table."""
    yield "## Scores"
    yield ""
    if not (run.folder / SCORES_FILE).exists():
        yield "Its samples are not scored."
        return
    found = read_scores(run.folder)
    steps = sorted({int(one["steps"]) for one in found.rows})
    methods = found.asked or tuple(run.recipe.sample.methods)
    tables = [table for table in score_tables(found, methods, steps) if table.rows]
    if not tables:
        yield "Its samples are not scored."
        return
    yield _line(["method", "steps", "evaluations", *(table.metric for table in tables)])
    yield _line(["---"] * (3 + len(tables)))
    for method in methods:
        for place, n in enumerate(steps):
            cells = [_cell(table, method, place) for table in tables]
            if known := [cell for cell in cells if cell is not None]:
                name = f"**{method}**" if method == row else method
                yield _line([name, str(n), f"{known[0].evaluations:.4g}", *map(_text, cells)])
    for name, values in (("real against real", [t.floor for t in tables]), ("pure noise", [t.noise for t in tables])):
        yield _line([name, "", "", *("–" if value is None else f"{value:.4g}" for value in values)])
    yield ""
    yield "Evaluations of experts are those of one sample; ± is the spread over seeds. What they were measured in:"
    yield ""
    for table in tables:
        better = "larger" if table.larger_is_better else "smaller"
        conditions = "; ".join(f"{name} {value}" for name, value in table.conditions.items())
        yield f"- {table.metric} ({better} is better): {conditions}"
    if row is not None:
        yield f"\nExported is the row **{row}**."
    else:
        yield "\nWhat is exported is none of these rows."


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(table: ScoreTable, method: str, place: int) -> ScoreCell | None:
    found = next((row for row in table.rows if row.method == method), None)
    return None if found is None else found.cells[place]


def _text(cell: ScoreCell | None) -> str:
    if cell is None:
        return "–"
    return f"{cell.mean:.4g}" + ("" if cell.spread is None else f" ± {cell.spread:.2g}")
