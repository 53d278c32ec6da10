"""Routers beside the exact posterior: one chart by time, one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixvel_core.recipe.use import RouterUse
from mixvel_core.stages.calibrate import RouterCalibrations, calibrate
from mixvel_core.stages.models import model_stages
from mixvel_core.stages.report.figures import colour, legend_of, literal, svg
from mixvel_core.stages.report.inputs import Inputs
from mixvel_core.stages.report.section import Section
from mixvel_core.stages.report.wording import learned_from

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
            chart=_chart(found, names),
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
    routers = {name: stage.artifact for name, stage in stages.items() if stage.is_done()}
    if len(inputs.shards.parts) < 2 or not inputs.shards.are_here:
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


def _chart(found: RouterCalibrations, names: Sequence[str]) -> str:
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
