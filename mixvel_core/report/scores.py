"""Scores: methods x steps beside what a sample costs, in seconds, FLOPs and expert evaluations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any, Literal, TypeAlias

from attrs import asdict, frozen
from matplotlib.axes import Axes

from mixvel_core.cost.quantities import amount, duration
from mixvel_core.report.figures import GREY, colour, panels, plain_ticks, suit_scale, wrapped
from mixvel_core.report.inputs import Inputs
from mixvel_core.report.tables import ScoreCell, ScoreTable, score_tables

FAR = 2.0
"""Pure noise is left out of a chart from this multiple of the worst score: it would squeeze the rest together."""


Cost: TypeAlias = Literal["seconds", "flops", "evaluations"]
"""Of a sample, what users wait or pay for first."""
COSTS: dict[Cost, tuple[str, Callable[[float], str]]] = {
    "seconds": ("time per sample", duration),
    "flops": ("FLOPs per sample", amount),
    "evaluations": ("expert evaluations per sample", "{:g}".format),
}
"""Of each the axis and how its numbers are written."""


@frozen(kw_only=True)
class ScoresContent:
    """``seeds``: of the cell that has most. ``how``: each method's router, selector and integrator. ``charts``: scores
    against each cost, its axis the second; without FLOPs where no product was counted, empty without scores.
    ``devices``: what times were measured on.
    """

    tables: tuple[ScoreTable, ...]
    seeds: int
    how: Mapping[str, str]
    charts: tuple[tuple[str, str], ...]
    devices: str


def scores(inputs: Inputs) -> ScoresContent:
    """The tables in the form of the paper's Table 1."""
    tables = score_tables(inputs.scores, inputs.methods, inputs.steps)
    titled = list(zip(_titles(inputs, tables), tables, strict=True))
    return ScoresContent(
        tables=tables,
        seeds=max((len(cell.values) for table in tables for cell in _cells(table)), default=0),
        how={one.row: inputs.settings(one) for one in inputs.samples},
        charts=tuple(
            (panels(titled, partial(_against_cost, inputs.methods, cost), height=270, legend_columns=6), axis)
            for cost, (axis, _) in COSTS.items()
            if any(_cost(cell, cost) > 0 for table in tables for cell in _cells(table))
        ),
        devices=devices(inputs),
    )


def devices(inputs: Inputs) -> str:
    """The devices that samples were made on, in words."""
    return "; ".join(sorted({one.time.device for one in inputs.samples if one.time.device})) or "a device not recorded"


def _cells(table: ScoreTable) -> list[ScoreCell]:
    return [cell for row in table.rows for cell in row.cells if cell is not None]


def _cost(cell: ScoreCell, cost: Cost) -> float:
    return {"seconds": cell.seconds, "flops": cell.flops, "evaluations": cell.evaluations}[cost]


def _titles(inputs: Inputs, tables: Sequence[ScoreTable]) -> list[str]:
    """Of each table its metric; with the number of samples where several tables are of one metric."""
    counts = {one.row: one.count for one in inputs.samples}
    metrics = [table.metric for table in tables]
    return [
        table.metric + (f", {counts[table.rows[0].method]:,} samples" if metrics.count(table.metric) > 1 else "")
        for table in tables
    ]


def _against_cost(methods: tuple[str, ...], cost: Cost, axes: Axes, titled: tuple[str, ScoreTable]) -> None:
    title, table = titled
    lines = {row.method: [cell for cell in row.cells if cell and _cost(cell, cost) > 0] for row in table.rows}
    axis, text = COSTS[cost]
    for method, cells in lines.items():
        cells.sort(key=lambda cell: _cost(cell, cost))
        axes.plot(
            [_cost(cell, cost) for cell in cells],
            [cell.mean for cell in cells],
            marker="o",
            markersize=3.5,
            color=colour(methods.index(method), len(methods)),
            label=method,
        )
    levels = [cell.mean for cell in _cells(table)]
    if table.floor is not None:
        axes.axhline(table.floor, color=GREY, linestyle="--", linewidth=1.1, label="real against real")
        levels.append(table.floor)
    if table.noise is not None and table.noise < FAR * max(levels):
        axes.axhline(table.noise, color=GREY, linestyle=":", linewidth=1.1, label="pure noise")
        levels.append(table.noise)
    axes.set_xscale("log")
    plain_ticks(axes.xaxis, text)
    suit_scale(axes, levels)
    axes.set_title(wrapped(title, 36), fontsize=8)
    axes.set_xlabel(axis)


@frozen(kw_only=True)
class TimingsContent:
    """``rows``: of each method, for each step count, seconds in all and of one sample, means over seeds; None where it
    was never asked for."""

    rows: Mapping[str, tuple[tuple[float, float] | None, ...]]
    devices: str


def timings(inputs: Inputs) -> TimingsContent:
    """What sampling took, and on what."""

    def mean(method: str, steps: int) -> tuple[float, float] | None:
        times = [one.time for one in inputs.samples if (one.row, one.draw.steps) == (method, steps)]
        if not times:
            return None
        return fmean(time.seconds for time in times), fmean(time.each for time in times)

    rows = {method: tuple(mean(method, n) for n in inputs.steps) for method in inputs.methods}
    return TimingsContent(rows=rows, devices=devices(inputs))


def times_of_draws(inputs: Inputs) -> list[dict[str, Any]]:
    """The time of every draw."""
    return [{"method": s.row, "steps": s.draw.steps, "seed": s.draw.seed, **asdict(s.time)} for s in inputs.samples]
