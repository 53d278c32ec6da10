"""Routing: routers beside the exact posterior by time, and which experts a method evaluates from noise to data."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from attrs import frozen
from matplotlib.axes import Axes

from mixvel_core.analysis.calibration import STEPS, BucketCalibration
from mixvel_core.analysis.floor import HALF
from mixvel_core.cost.quantities import amount as quantity
from mixvel_core.cost.quantities import duration
from mixvel_core.pipeline.sample import StoredSamples
from mixvel_core.report.figures import GREY, amount, colour, learned_from, literal, panels, time_axis, wrapped
from mixvel_core.report.inputs import Inputs

MEASURES = {
    "total_variation": "total variation",
    "calibration_error": "calibration error",
    "cross_entropy": "excess cross entropy, nats",
}
POINTS = {
    "noised": "noised items",
    "flow": "the exact flow",
    "noised by class": "noised items, each under its class",
    "flow by class": "the exact flow of a class",
}


@frozen(kw_only=True)
class CalibrationRow:
    """A router on one kind of points, its measures averaged over all times. ``learned_from``: in words, if it did.
    ``share``: FLOPs of a call in those of one evaluation of an expert; None for the floor, and where experts have none.
    """

    router: str
    share: float | None
    learned_from: str
    points: str
    values: tuple[float, ...]


@frozen(kw_only=True)
class CalibrationContent:
    """``steps``: of the flow."""

    chart: str
    measures: tuple[str, ...]
    rows: tuple[CalibrationRow, ...]
    steps: int = STEPS


def calibration(inputs: Inputs) -> CalibrationContent | None:
    """Every router of the run, and the floor; None where nothing could be measured."""
    found = inputs.calibration
    if not found:
        return None
    seen = {row.points for row in found}
    kinds = [(points, measure) for points in POINTS if points in seen for measure in range(len(MEASURES))]
    draw = partial(_panel, found, list(inputs.recipe.routers))
    return CalibrationContent(
        chart=panels(kinds, draw, height=245, legend_columns=6),
        measures=tuple(MEASURES.values()),
        rows=_rows(inputs),
    )


def values_of(row: BucketCalibration) -> tuple[float, ...]:
    """The measures of one bucket; of the cross entropy what the router could have saved."""
    return row.total_variation, row.calibration_error, max(0.0, row.cross_entropy - row.entropy)


def _rows(inputs: Inputs) -> tuple[CalibrationRow, ...]:
    made = []
    uses = inputs.recipe.routers
    for name in (*uses, HALF):
        for points, words in POINTS.items():
            mine = [values_of(r) for r in inputs.calibration if (r.router, r.points) == (name, points)]
            if mine:
                values = tuple(sum(column) / len(mine) for column in zip(*mine, strict=True))
                learned = learned_from(uses[name]) if name in uses else ""
                share = inputs.flops.share(name) if name in uses else None
                row = CalibrationRow(router=name, learned_from=learned, points=words, values=values, share=share)
                made.append(row)
    return tuple(made)


def _panel(found: Sequence[BucketCalibration], names: Sequence[str], axes: Axes, kind: tuple[str, int]) -> None:
    points, measure = kind
    for i, name in enumerate([*names, HALF]):
        mine = [r for r in found if (r.router, r.points) == (name, points)]
        if mine:
            axes.plot(
                [(r.low + r.high) / 2 for r in mine],
                [values_of(r)[measure] for r in mine],
                marker="o",
                markersize=3,
                color=GREY if name == HALF else colour(i, len(names)),
                linestyle="--" if name == HALF else "-",
                label=literal(name),
            )
    time_axis(axes)
    axes.set_ylim(bottom=0.0)
    axes.set_title(f"{tuple(MEASURES.values())[measure]},\n{POINTS[points]}", fontsize=8)


MOST_NAMED = 20


@frozen(kw_only=True)
class UsageContent:
    """``single``: methods with one expert, of which there is nothing to see."""

    chart: str
    single: tuple[str, ...]


def usage(inputs: Inputs) -> UsageContent | None:
    """At the largest step count, a panel for each method with a choice of experts; None if none has one."""
    shown = [inputs.most_steps(method) for method in inputs.methods]
    routed = [one for one in shown if one.array("usage").shape[1] > 1]
    if not routed:
        return None
    columns = 10 if len(inputs.shards.parts) <= MOST_NAMED else None
    return UsageContent(
        chart=panels(routed, partial(_areas, inputs), height=220, legend_columns=columns),
        single=tuple(one.row for one in shown if one not in routed),
    )


def _areas(inputs: Inputs, axes: Axes, one: StoredSamples) -> None:
    delta, cost = one.delta, inputs.cost(one)
    times, shares = by_time(one.array("times"), one.array("usage"))
    count = shares.shape[1]
    axes.stackplot(
        np.append(times, delta),
        np.concatenate([shares, shares[-1:]]).T,
        step="post",
        colors=[colour(k, count) for k in range(count)],
        labels=[f"expert {k}" for k in range(count)],
        linewidth=0,
    )
    time_axis(axes, delta)
    axes.set_ylim(0.0, float(shares.sum(axis=1).max()))
    axes.grid(visible=False)
    costs = f"{duration(one.time.each)}, {quantity(cost.flops, 'FLOP')}, {amount(cost.evaluations)} evaluations"
    axes.set_title(f"{wrapped(one.row, 40)}\n{costs}", fontsize=8)
    axes.set_ylabel("experts per call")


def by_time(times: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Calls of the field at one time taken together: the times, falling, and the mean usage at each, (n, K).

    The second call of a two-stage step is at the time of the next step's first.
    """
    distinct, place = np.unique(times, return_inverse=True)
    total = np.zeros((len(distinct), shares.shape[1]))
    np.add.at(total, place, shares)
    mean = total / np.bincount(place)[:, None]
    return distinct[::-1], mean[::-1]
