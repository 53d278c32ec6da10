"""Orders: samplers of the study by their trajectory error, beside the same samplers of the table by their scores."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from attrs import frozen

from mixvel_core.analysis.records import StudyRow
from mixvel_core.pipeline.sample_specs import SampleSpec
from mixvel_core.recipe.describe import label
from mixvel_core.recipe.dump import plain
from mixvel_core.recipe.grids import grid_name
from mixvel_core.report.inputs import Inputs
from mixvel_core.report.tables import ScoreTable, score_tables


@frozen(kw_only=True)
class Ranked:
    """A value, and its place among those of the same step count: 1 is best, and equal values share a place."""

    value: float
    rank: int


@frozen(kw_only=True)
class OrderRow:
    """One method. ``places``: by the median error, then by each score."""

    method: str
    places: tuple[Ranked, ...]


@frozen(kw_only=True)
class OrderGroup:
    """All samplers at one step count. ``correlations``: of each score's order with that by error, Kendall's tau."""

    steps: int
    rows: tuple[OrderRow, ...]
    correlations: tuple[float | None, ...]


@frozen(kw_only=True)
class OrdersContent:
    """``metrics``: the columns of scores."""

    metrics: tuple[str, ...]
    groups: tuple[OrderGroup, ...]


def orders(inputs: Inputs) -> OrdersContent | None:
    """Both orders at every step count where the study and the table have two samplers in common; None without any."""
    tables = score_tables(inputs.scores, inputs.methods, inputs.steps)
    groups = [_group(inputs, tables, steps) for steps in inputs.steps] if tables else []
    known = tuple(group for group in groups if len(group.rows) > 1)
    return OrdersContent(metrics=tuple(table.metric for table in tables), groups=known) if known else None


def _group(inputs: Inputs, tables: Sequence[ScoreTable], steps: int) -> OrderGroup:
    errors = {method: row.median for method, row in _in_common(inputs, steps).items()}
    scores = [_scores(table, steps) for table in tables]
    methods = [method for method in errors if all(method in column for column in scores)]
    columns = [[column[method] for method in methods] for column in (errors, *scores)]
    # The order of what is better where it is larger is turned round.
    signs = [1, *(-1 if table.larger_is_better else 1 for table in tables)]
    turned = [[sign * value for value in column] for sign, column in zip(signs, columns, strict=True)]
    places = [
        [Ranked(value=value, rank=rank) for value, rank in zip(column, ranked(values), strict=True)]
        for column, values in zip(columns, turned, strict=True)
    ]
    rows = (OrderRow(method=method, places=tuple(column[i] for column in places)) for i, method in enumerate(methods))
    correlations = tuple(kendall(turned[0], values) for values in turned[1:])
    return OrderGroup(steps=steps, rows=tuple(rows), correlations=correlations)


def _scores(table: ScoreTable, steps: int) -> dict[str, float]:
    cells = {row.method: row.cells[table.steps.index(steps)] for row in table.rows}
    return {method: cell.mean for method, cell in cells.items() if cell is not None}


def _in_common(inputs: Inputs, steps: int) -> dict[str, StudyRow]:
    """The methods of the table that the study measured as well, with its row at this step count."""
    found = (
        {(row.selector, row.integrator, row.grid, row.steps): row for row in inputs.study.rows} if inputs.study else {}
    )
    draws = {one.row: one.draw for one in inputs.samples if one.draw.steps == steps}
    named = {method: found.get(_name(draw)) for method, draw in draws.items() if _is_comparable(inputs, draw)}
    return {method: row for method, row in named.items() if row is not None}


def _name(draw: SampleSpec) -> tuple[str, str, str, int]:
    return label(draw.selector), label(draw.integrator), grid_name(draw.grid), draw.steps


def _is_comparable(inputs: Inputs, draw: SampleSpec) -> bool:
    """Whether the study's router and weights are those of the method."""
    about = inputs.study.conditions if inputs.study else {}
    return draw.router == about.get("router") and plain(draw.weights) == about.get("weights")


def ranked(values: Sequence[float]) -> list[int]:
    """The place of each value, the smallest first; equal values share one."""
    return [1 + sum(other < value for other in values) for value in values]


def kendall(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Kendall's tau-b of two lists of values of the same things; None where all values of one are equal."""
    pairs = [((a[i] > a[j]) - (a[i] < a[j]), (b[i] > b[j]) - (b[i] < b[j])) for i, j in combinations(range(len(a)), 2)]
    untied = [sum(pair[side] != 0 for pair in pairs) for side in (0, 1)]
    return sum(x * y for x, y in pairs) / (untied[0] * untied[1]) ** 0.5 if all(untied) else None
