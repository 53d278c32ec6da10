"""Tables of scores: methods x steps beside their cost, and how low and how high scores can be in the same conditions.

A file of its own: the command line prints them without what it takes to draw.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from attrs import frozen

from mixvel_core.pipeline.scores import Scores


@frozen(kw_only=True)
class ScoreCell:
    """One method at one step count: ``values`` by seed, their mean and standard deviation (None for one seed).

    ``evaluations``, ``flops``, ``seconds``: the cost of one sample, means over seeds. ``best``: no other mean of the
    column is better, to the four digits that are shown: exact methods that agree but for rounding are equally good.
    """

    values: Mapping[int, float]
    mean: float
    spread: float | None
    evaluations: float
    flops: float
    seconds: float
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
    columns = [
        _column([[r for r in found if (r["method"], r["steps"]) == (m, n)] for m in methods], larger, seconds)
        for n in steps
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


def _column(
    rows_of: Sequence[Sequence[Mapping[str, Any]]], larger_is_better: bool, seconds: Mapping[Place, float]
) -> list[ScoreCell | None]:
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
            flops=fmean(row["flops"] for row in rows),
            seconds=fmean(seconds[row["method"], row["steps"], row["seed"]] for row in rows),
            best=best is not None and f"{mean:.4g}" == f"{best:.4g}",
        )
        for v, mean, rows in zip(values, means, rows_of, strict=True)
    ]


def _reference(kind: Measured, rows: Iterable[Mapping[str, Any]]) -> float | None:
    return next((float(row["value"]) for row in rows if _measured(row) == kind), None)
