"""Routing: routers beside the exact posterior by time, and which experts a method evaluates from noise to data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from attrs import frozen
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixvel_core.analysis.calibration import RouterCalibrations, calibrate
from mixvel_core.pipeline.models import model_stages
from mixvel_core.pipeline.sample import StoredSamples
from mixvel_core.plugin.definition import RouterUse
from mixvel_core.report.figures import colour, learned_from, legend_of, literal, svg
from mixvel_core.report.inputs import Inputs, Section

MEASURES = {
    "total_variation": "total variation",
    "calibration_error": "expected calibration error",
    "cross_entropy": "cross entropy above the least, nats",
}
POINTS = {"noised": "noised items", "flow": "the exact flow"}


@frozen(kw_only=True)
class CalibrationRow:
    """A router on one kind of points, its measures averaged over all times. ``learned_from``: in words, if it did."""

    router: str
    learned_from: str
    points: str
    values: tuple[float, ...]


@frozen(kw_only=True)
class CalibrationContent:
    """``steps``: of the flow."""

    chart: str
    measures: tuple[str, ...]
    rows: tuple[CalibrationRow, ...]
    steps: int


def calibration(inputs: Inputs) -> Section | None:
    """Every router of the run; None where nothing could be measured."""
    found = measured(inputs)
    if not found.rows:
        return None
    names = list(inputs.recipe.routers)
    return Section(
        anchor="calibration",
        title="Calibration of the routers",
        stage="routers",
        template="calibration.html.jinja",
        content=CalibrationContent(
            chart=_calibration_chart(found, names),
            measures=tuple(MEASURES.values()),
            rows=_rows(found, inputs.recipe.routers),
            steps=found.steps,
        ),
    )


def measured(inputs: Inputs) -> RouterCalibrations:
    """The routers whose folders are there, against the posterior of the items.

    Nothing with a single expert, about which there is nothing to be wrong; nothing where the items are not here.
    """
    stages = model_stages(inputs.recipe, inputs.folder, inputs.shards).routers
    routers = {name: stage.result for name, stage in stages.items() if stage.is_done()}
    if len(inputs.shards.parts) < 2 or not inputs.shards.are_local:
        routers = {}
    recipe = inputs.recipe
    points = recipe.report.calibration
    return calibrate(routers, recipe.schedule, inputs.shards, recipe.seed, inputs.folder, points)


def values_of(row: dict[str, Any]) -> tuple[float, ...]:
    """The measures of one bucket; of the cross entropy what the router could have saved."""
    return row["total_variation"], row["calibration_error"], max(0.0, row["cross_entropy"] - row["entropy"])


def _rows(found: RouterCalibrations, routers: Mapping[str, RouterUse]) -> tuple[CalibrationRow, ...]:
    made = []
    for name, use in routers.items():
        for points, words in POINTS.items():
            mine = [values_of(r) for r in found.rows if (r["router"], r["points"]) == (name, points)]
            if mine:
                values = tuple(sum(column) / len(mine) for column in zip(*mine, strict=True))
                made.append(CalibrationRow(router=name, learned_from=learned_from(use), points=words, values=values))
    return tuple(made)


def _calibration_chart(found: RouterCalibrations, names: Sequence[str]) -> str:
    def draw(figure: Figure) -> None:
        panels = figure.subplots(len(POINTS), len(MEASURES), squeeze=False)
        for row, points in zip(panels, POINTS, strict=True):
            for place, axes in enumerate(row):
                _panel(axes, found, names, points, place)
        legend_of(figure, panels.ravel(), columns=6)

    return svg(draw, width=330 * len(MEASURES), height=230 * len(POINTS) + 40)


def _panel(axes: Axes, found: RouterCalibrations, names: Sequence[str], points: str, place: int) -> None:
    for i, name in enumerate(names):
        mine = [r for r in found.rows if (r["router"], r["points"]) == (name, points)]
        if mine:
            axes.plot(
                [(r["low"] + r["high"]) / 2 for r in mine],
                [values_of(r)[place] for r in mine],
                marker="o",
                markersize=3,
                color=colour(i, len(names)),
                label=literal(name),
            )
    axes.set_xlim(1.0, 0.0)
    axes.set_ylim(bottom=0.0)
    axes.set_title(f"{tuple(MEASURES.values())[place]}, {POINTS[points]}", fontsize=8)
    axes.set_xlabel("t (1 noise, 0 data)")


ABREAST = 3
MOST_NAMED = 20


@frozen(kw_only=True)
class UsageContent:
    """``steps``: of the samples looked at. ``alone``: methods with one expert, of which there is nothing to see."""

    chart: str
    steps: int
    seed: int
    alone: tuple[str, ...]


def usage(inputs: Inputs) -> Section | None:
    """A panel for each method with a choice of experts; None if none has one."""
    steps = max(inputs.steps)
    shown = [inputs.shown(method, steps) for method in inputs.methods]
    routed = [one for one in shown if one.array("usage").shape[1] > 1]
    if not routed:
        return None
    return Section(
        anchor="usage",
        title="Expert usage",
        stage="selector",
        template="usage.html.jinja",
        content=UsageContent(
            chart=_usage_chart(routed, inputs.recipe.sample.delta),
            steps=steps,
            seed=inputs.first_seed,
            alone=tuple(one.draw.method for one in shown if one not in routed),
        ),
    )


def _usage_chart(routed: list[StoredSamples], delta: float) -> str:
    columns = min(ABREAST, len(routed))
    rows = -(-len(routed) // columns)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, one in zip(panels, routed, strict=False):
            _areas(axes, one, delta)
        for axes in panels[len(routed) :]:
            axes.set_axis_off()
        if routed[0].array("usage").shape[1] <= MOST_NAMED:
            legend_of(figure, panels, columns=10)

    return svg(draw, width=max(330 * columns, 460), height=210 * rows + 50)


def _areas(axes: Axes, one: StoredSamples, delta: float) -> None:
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
    axes.set_xlim(1.0, delta)
    axes.set_ylim(0.0, float(shares.sum(axis=1).max()))
    axes.grid(visible=False)
    axes.set_title(one.draw.method)
    axes.set_xlabel("t (1 noise, 0 data)")
    axes.set_ylabel("experts per sample and call")


def by_time(times: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Calls of the field at one time taken together: the times, falling, and the mean usage at each, (n, K).

    The second call of a two-stage step is at the time of the next step's first.
    """
    distinct, place = np.unique(times, return_inverse=True)
    total = np.zeros((len(distinct), shares.shape[1]))
    np.add.at(total, place, shares)
    mean = total / np.bincount(place)[:, None]
    return distinct[::-1], mean[::-1]
