"""Which sampler? For each score the best routed method at a cost that all but the dearest can spend, and what is not
distinguished from it.

Methods sample from the same noise and are scored against the same items, so that differences are taken seed by seed, or
half by half where there is one seed: the spread of a score over seeds is larger than that of differences.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Literal, TypeAlias

from attrs import frozen
from scipy.special import stdtrit

from mixvel_core.report.tables import EQUAL_COST, ScoreCell, ScoreTable

Sides: TypeAlias = Literal["better", "worse", "not distinguished", "unknown"]
"""How a method compares with the best one; unknown: of one seed, without anything to take an uncertainty from."""
LEVEL = 0.95
"""Of the intervals."""


@frozen(kw_only=True)
class Placed:
    """A method at the step count where it scores best. ``half_width``: of the interval of its mean, None where there is
    none. ``side``: beside the best method. ``cost_ratio``: its cost over what may be spent."""

    method: str
    steps: int
    mean: float
    half_width: float | None
    side: Sides
    cost_ratio: float


@frozen(kw_only=True)
class Verdict:
    """One table. ``best``: of the routed methods. ``others``: the other routed methods that can be had at that cost,
    the best first. ``dearer``: those that cost more. ``monolith``: one network on all data; None where there is none.
    ``evaluations``, ``flops``: of a sample, the most that may be spent. ``basis``: what uncertainty is taken from.
    ``floor``: of real items against others, where the best one passes it."""

    metric: str
    evaluations: float
    flops: float
    best: Placed
    others: tuple[Placed, ...]
    dearer: tuple[Placed, ...]
    monolith: Placed | None
    basis: str
    floor: float | None = None

    def named(self, side: Sides) -> tuple[str, ...]:
        """The names of ``others`` on one side."""
        return tuple(one.method for one in self.others if one.side == side)


def half_width(values: Sequence[float], halves: bool) -> float | None:
    """Half the width of the interval at LEVEL of a mean; None of fewer than two values.

    Args:
        values: of independent seeds, or of random halves of one set of samples.
        halves: whether they are of halves. Half of the samples without replacement vary about the score of all as much
            as that varies itself (delete-half jackknife, Shao & Wu 1989): their spread is its standard error.
    """
    if len(values) < 2:
        return None
    error = stdev(values) / (1.0 if halves else len(values) ** 0.5)
    return float(stdtrit(len(values) - 1, 0.5 + LEVEL / 2)) * error


def verdicts(tables: Iterable[ScoreTable], monoliths: Iterable[str]) -> tuple[Verdict, ...]:
    """One of each table that holds a routed method; ``monoliths``: the names of the other methods."""
    kept = frozenset(monoliths)
    return tuple(made for table in tables if (made := _verdict(table, kept)) is not None)


def sentence(found: Sequence[Verdict]) -> str:
    """The result in words, as plain text; empty without verdicts."""
    if not found:
        return ""
    by_method: dict[str, list[str]] = {}
    for one in found:
        by_method.setdefault(one.best.method, []).append(one.metric)
    equal = [one for one in found if one.named("not distinguished")]
    unknown = any("unknown" in (other.side for other in one.others) for one in found)
    if len(by_method) == 1:
        [method] = by_method
        scores = f"all {len(found)} scores" if len(found) > 1 else found[0].metric
        text = f"At equal cost {method} is the best routed sampler by {scores}"
    else:
        parts = (f"{method} by {_listed(metrics)}" for method, metrics in by_method.items())
        text = f"At equal cost no routed sampler is best by every score: {'; '.join(parts)}"
    if unknown:
        return text + "; from one seed, without an uncertainty."
    if not any(one.others for one in found):
        return text + "."
    if not equal:
        return text + "; every other one is worse by more than the uncertainty."
    where = "" if len(equal) == len(found) else f" by {_listed([one.metric for one in equal])}"
    return text + f"; others are not distinguished from the best{where}."


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


Cells: TypeAlias = Mapping[str, Sequence[tuple[int, ScoreCell]]]
"""Step counts and cells of each method."""


def _verdict(table: ScoreTable, monoliths: frozenset[str]) -> Verdict | None:
    cells = {
        row.method: [
            (n, cell) for n, cell in zip(table.steps, row.cells, strict=True) if cell and cell.mean == cell.mean
        ]
        for row in table.rows
    }
    routed = {method: found for method, found in cells.items() if found and method not in monoliths}
    if not routed:
        return None
    largest = [max((cell for _, cell in found), key=lambda cell: cell.cost) for found in routed.values()]
    limit = min(largest, key=lambda cell: cell.cost)
    budget = EQUAL_COST * limit.cost
    within = {method: _best([one for one in found if one[1].cost <= budget], table) for method, found in routed.items()}
    affordable = {method: one for method, one in within.items() if one is not None}
    sign = -1.0 if table.larger_is_better else 1.0
    order = sorted(affordable, key=lambda method: sign * affordable[method][1].mean)
    best = affordable[order[0]][1]

    def placed(method: str, one: tuple[int, ScoreCell]) -> Placed:
        steps, cell = one
        values, halves = (tuple(cell.values.values()), False) if len(cell.values) > 1 else (cell.halves, True)
        return Placed(
            method=method,
            steps=steps,
            mean=cell.mean,
            half_width=half_width(values, halves),
            side="not distinguished" if cell is best else _side(cell, best, sign),
            cost_ratio=cell.cost / limit.cost if limit.cost else 1.0,
        )

    dearer = {method: _best(found, table) for method, found in routed.items() if method not in affordable}
    kept = {m: _best([one for one in cells.get(m, ()) if one[1].cost <= budget], table) for m in monoliths}
    return Verdict(
        metric=table.metric,
        evaluations=limit.evaluations,
        flops=limit.flops,
        best=placed(order[0], affordable[order[0]]),
        others=tuple(placed(method, affordable[method]) for method in order[1:]),
        dearer=tuple(placed(method, one) for method, one in dearer.items() if one is not None),
        monolith=next((placed(method, one) for method, one in kept.items() if one is not None), None),
        basis=_basis(best),
        floor=table.floor if table.floor is not None and sign * best.mean < sign * table.floor else None,
    )


def _best(found: Sequence[tuple[int, ScoreCell]], table: ScoreTable) -> tuple[int, ScoreCell] | None:
    choose = max if table.larger_is_better else min
    return choose(found, key=lambda one: one[1].mean, default=None)


def _side(cell: ScoreCell, best: ScoreCell, sign: float) -> Sides:
    """``sign``: 1 where smaller is better, else -1."""
    common = sorted({*cell.values} & {*best.values})
    by_seed = len(common) > 1
    pairs = [(cell.values[s], best.values[s]) for s in common] if by_seed else _paired_halves(cell, best)
    differences = [sign * (mine - theirs) for mine, theirs in pairs]
    width = half_width(differences, halves=not by_seed)
    if width is None:
        return "unknown"
    # The halves say how sure the difference is; the difference itself is that of all samples.
    mean = fmean(differences) if by_seed else sign * (cell.mean - best.mean)
    if abs(mean) <= width:
        return "not distinguished"
    return "worse" if mean > 0 else "better"


def _paired_halves(cell: ScoreCell, best: ScoreCell) -> list[tuple[float, float]]:
    same = cell.values.keys() == best.values.keys() and len(cell.halves) == len(best.halves)
    return list(zip(cell.halves, best.halves, strict=True)) if same else []


def _basis(cell: ScoreCell) -> str:
    if len(cell.values) > 1:
        return f"{len(cell.values)} seeds"
    return f"{len(cell.halves)} random halves of the samples" if len(cell.halves) > 1 else ""
