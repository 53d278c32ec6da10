"""Scores: methods x steps beside their cost, and how low and how high scores can be in the same conditions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from statistics import fmean, stdev
from typing import Any

from attrs import frozen
from matplotlib.axes import Axes

from mixvel_core.pipeline.evaluate import Scores
from mixvel_core.report.figures import GREY, colour, literal, method_text, panels, plain_ticks, suit_scale
from mixvel_core.report.inputs import Inputs


@frozen(kw_only=True)
class ScoreCell:
    """One method at one step count: ``values`` by seed, their mean and standard deviation (None for one seed).

    ``evaluations``: expert evaluations per sample, the cost. ``best``: no other mean of the column is better, to
    the four digits that are shown: exact methods that agree but for rounding are equally good.
    """

    values: Mapping[int, float]
    mean: float
    spread: float | None
    evaluations: float
    best: bool


@frozen(kw_only=True)
class ScoreRow:
    """A method and its cells, None where it was not scored at that step count."""

    method: str
    cells: tuple[ScoreCell | None, ...]


@frozen(kw_only=True)
class ScoreTable:
    """Scores that can be compared: one metric, one set of conditions.

    ``floor``: real items against real items, ``noise``: pure noise against real items, in these same conditions; None
    where that was not measured. ``larger_is_better``: of this metric.
    """

    metric: str
    conditions: Mapping[str, str]
    steps: tuple[int, ...]
    rows: tuple[ScoreRow, ...]
    floor: float | None
    noise: float | None
    larger_is_better: bool


Measured = tuple[str, tuple[tuple[str, str], ...]]
"""What was measured: a metric's name and its conditions. Only equal ones may stand in one table."""


def score_tables(scores: Scores, methods: Sequence[str], steps: Sequence[int]) -> tuple[ScoreTable, ...]:
    """A table for every metric and every set of conditions it was measured in: methods by steps, in this order."""
    kinds = dict.fromkeys(_measured(row) for row in scores.rows)
    return tuple(_table(kind, scores, methods, steps) for kind in kinds)


def _measured(row: Mapping[str, Any]) -> Measured:
    return row["metric"], tuple(row["conditions"].items())


def _table(kind: Measured, scores: Scores, methods: Sequence[str], steps: Sequence[int]) -> ScoreTable:
    found = [row for row in scores.rows if _measured(row) == kind]
    larger = any(row.get("larger_is_better") for row in found)
    columns = [
        _column([[r for r in found if (r["method"], r["steps"]) == (m, n)] for m in methods], larger) for n in steps
    ]
    rows = (
        ScoreRow(method=method, cells=tuple(column[i] for column in columns))
        for i, method in enumerate(methods)
        if any(row["method"] == method for row in found)
    )
    return ScoreTable(
        metric=kind[0],
        conditions=dict(kind[1]),
        steps=tuple(steps),
        rows=tuple(rows),
        floor=_reference(kind, scores.floors),
        noise=_reference(kind, scores.noise),
        larger_is_better=larger,
    )


def _column(rows_of: Sequence[Sequence[Mapping[str, Any]]], larger_is_better: bool) -> list[ScoreCell | None]:
    """The cells of one column, from the score rows of each method."""
    values = [{int(row["seed"]): float(row["value"]) for row in rows} for rows in rows_of]
    means = [fmean(v.values()) if v else None for v in values]
    # min() of a list that holds a nan depends on the order; a nan is never the best.
    known = [mean for mean in means if mean is not None and mean == mean]
    best = (max if larger_is_better else min)(known, default=None)
    return [
        None
        if mean is None
        else ScoreCell(
            values=v,
            mean=mean,
            spread=stdev(v.values()) if len(v) > 1 else None,
            evaluations=fmean(row["evaluations"] for row in rows),
            best=best is not None and f"{mean:.4g}" == f"{best:.4g}",
        )
        for v, mean, rows in zip(values, means, rows_of, strict=True)
    ]


def _reference(kind: Measured, rows: Iterable[Mapping[str, Any]]) -> float | None:
    return next((float(row["value"]) for row in rows if _measured(row) == kind), None)


def timings(inputs: Inputs) -> dict[str, list[float]]:
    """Of each method, the mean over seeds of the seconds at each step count."""
    return {
        method: [
            fmean(s.seconds for s in inputs.samples if (s.draw.method, s.draw.steps) == (method, n))
            for n in inputs.steps
        ]
        for method in inputs.methods
    }


def seconds(inputs: Inputs) -> list[dict[str, Any]]:
    """The seconds of every draw."""
    return [
        {"method": s.draw.method, "steps": s.draw.steps, "seed": s.draw.seed, "seconds": s.seconds}
        for s in inputs.samples
    ]


FAR = 2.0
"""Pure noise is left out of a chart from this multiple of the worst score: it would squeeze the rest together."""


@frozen(kw_only=True)
class ScoresContent:
    """``how``: each method's router, selector and integrator. ``chart``: score against cost; None without scores."""

    tables: tuple[ScoreTable, ...]
    how: Mapping[str, str]
    chart: str | None


def scores(inputs: Inputs) -> ScoresContent:
    """The tables in the form of the paper's Table 1."""
    tables = score_tables(inputs.scores, inputs.methods, inputs.steps)
    draw = partial(_against_cost, inputs.methods)
    return ScoresContent(
        tables=tables,
        how={one.draw.method: method_text(one.draw) for one in inputs.samples},
        chart=panels(tables, draw, height=270, legend_columns=6) if tables else None,
    )


def _against_cost(methods: tuple[str, ...], axes: Axes, table: ScoreTable) -> None:
    lines = {row.method: [cell for cell in row.cells if cell is not None] for row in table.rows}
    for method, cells in lines.items():
        cells.sort(key=lambda cell: cell.evaluations)
        axes.plot(
            [cell.evaluations for cell in cells],
            [cell.mean for cell in cells],
            marker="o",
            markersize=3.5,
            color=colour(methods.index(method), len(methods)),
            label=method,
        )
    levels = [cell.mean for cells in lines.values() for cell in cells]
    if table.floor is not None:
        axes.axhline(table.floor, color=GREY, linestyle="--", linewidth=1.1, label="real against real")
        levels.append(table.floor)
    if table.noise is not None and table.noise < FAR * max(levels):
        axes.axhline(table.noise, color=GREY, linestyle=":", linewidth=1.1, label="pure noise")
        levels.append(table.noise)
    axes.set_xscale("log")
    plain_ticks(axes.xaxis)
    suit_scale(axes, levels)
    axes.set_title(literal(table.metric))
    axes.set_xlabel("expert evaluations per sample")
    axes.set_ylabel(literal(table.metric))
