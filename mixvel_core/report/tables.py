"""Tables of scores: methods x steps beside their cost, and how low and how high scores can be in the same conditions.

A file of its own: the command line prints them without what it takes to draw.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any, TypeAlias

from attrs import evolve, frozen

from mixvel_core.pipeline.scores import Scores


@frozen(kw_only=True)
class ScoreCell:
    """One method at one step count: ``values`` by seed, their mean and standard deviation (None for one seed).

    ``evaluations``, ``flops``, ``seconds``: the cost of one sample, means over seeds. ``best``: no mean of the table
    that costs as much or less is better, to the four digits that are shown: exact methods that agree but for rounding
    are equally good. ``halves``: of a single seed, the score of random halves of its samples, if it was measured.
    """

    values: Mapping[int, float]
    mean: float
    spread: float | None
    evaluations: float
    flops: float
    seconds: float
    best: bool = False
    halves: tuple[float, ...] = ()

    @property
    def cost(self) -> float:
        """What methods are compared at equal amounts of: FLOPs, or evaluations where no product was counted."""
        return self.flops or self.evaluations


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
Place = tuple[str, int, int]
"""Method, steps, seed."""


def score_tables(scores: Scores, methods: Sequence[str], steps: Sequence[int]) -> tuple[ScoreTable, ...]:
    """A table for every metric and every set of conditions it was measured in: methods by steps, in this order."""
    kinds = dict.fromkeys(_measured(row) for row in scores.rows)
    return tuple(_table(kind, scores, methods, steps) for kind in kinds)


def _measured(row: Mapping[str, Any]) -> Measured:
    return row["metric"], tuple(row["conditions"].items())


def _table(kind: Measured, scores: Scores, methods: Sequence[str], steps: Sequence[int]) -> ScoreTable:
    found = [row for row in scores.rows if _measured(row) == kind]
    larger = any(row.get("larger_is_better") for row in found)
    seconds = {(row["method"], row["steps"], row["seed"]): row["seconds"] for row in scores.timings}
    cells = {
        (m, n): _cell([r for r in found if (r["method"], r["steps"]) == (m, n)], seconds)
        for m in methods
        for n in steps
    }
    marked = _with_best(cells, larger)
    rows = (
        ScoreRow(method=method, cells=tuple(marked[method, n] for n in steps))
        for method in methods
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


EQUAL_COST = 1.05
"""Costs up to this ratio are equal: routers of little cost would else set methods apart that do the same work."""

MaybeCells: TypeAlias = dict[tuple[str, int], ScoreCell | None]


def _cell(rows: Sequence[Mapping[str, Any]], seconds: Mapping[Place, float]) -> ScoreCell | None:
    """One cell from its score rows, one for each seed; None without any."""
    if not rows:
        return None
    values = {int(row["seed"]): float(row["value"]) for row in rows}
    return ScoreCell(
        values=values,
        mean=fmean(values.values()),
        spread=stdev(values.values()) if len(values) > 1 else None,
        evaluations=fmean(row["evaluations"] for row in rows),
        flops=fmean(row["flops"] for row in rows),
        seconds=fmean(seconds[row["method"], row["steps"], row["seed"]] for row in rows),
        halves=tuple(rows[0].get("halves", ())) if len(rows) == 1 else (),
    )


def _with_best(cells: MaybeCells, larger_is_better: bool) -> MaybeCells:
    """The cells with those marked that are best at their cost; a nan is never the best."""
    known = [cell for cell in cells.values() if cell is not None and cell.mean == cell.mean]
    marked = dict(cells)
    for place, cell in cells.items():
        if cell is not None and cell.mean == cell.mean:
            means = [other.mean for other in known if other.cost <= EQUAL_COST * cell.cost]
            best = (max if larger_is_better else min)(means)
            marked[place] = evolve(cell, best=f"{cell.mean:.4g}" == f"{best:.4g}")
    return marked


def _reference(kind: Measured, rows: Iterable[Mapping[str, Any]]) -> float | None:
    return next((float(row["value"]) for row in rows if _measured(row) == kind), None)
