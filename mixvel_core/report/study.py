"""Study: error against steps and against cost, if `mixvel study` has measured it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from attrs import frozen
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixvel_core.analysis.records import StudyResult
from mixvel_core.report.figures import GREY, colour, legend_of, literal, plain_ticks, svg
from mixvel_core.report.inputs import Inputs, Section

STYLES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D")
NEAR = 0.1
"""The reference's own error is drawn from this part of the smallest error on; further down it squeezes the rest."""

CurveName: TypeAlias = tuple[str, str, str]
"""Selector, integrator, grid."""


@frozen(kw_only=True)
class CurveTable:
    """One curve: its row of each step count, and its slope of each quantity, None where there is none."""

    name: str
    rows: tuple[Mapping[str, Any] | None, ...]
    slopes: tuple[Mapping[str, Any] | None, ...]


@frozen(kw_only=True)
class StudyContent:
    """``floor``: the reference's own error. ``conditions``: of all numbers, in words."""

    chart: str
    steps: tuple[int, ...]
    curves: tuple[CurveTable, ...]
    quantities: tuple[tuple[str, str], ...]
    floor: Mapping[str, float]
    reference: str
    conditions: tuple[tuple[str, str], ...]


QUANTITIES = (("median", "median"), ("rms", "RMS"), ("mean_square", "mean square"))


def study(inputs: Inputs) -> Section | None:
    """Tables and charts; None where the run was not studied."""
    found = inputs.study
    if found is None or not found.rows:
        return None
    steps = tuple(sorted({row["steps"] for row in found.rows}))
    names = dict.fromkeys(_name(row) for row in found.rows)
    return Section(
        anchor="study",
        title="Study",
        stage="study",
        template="study.html.jinja",
        content=StudyContent(
            chart=_chart(found),
            steps=steps,
            curves=tuple(_table(found, name, steps) for name in names),
            quantities=QUANTITIES,
            floor=found.floor,
            reference=_reference(found),
            conditions=_conditions(found),
        ),
    )


def _name(row: Mapping[str, Any]) -> CurveName:
    return row["selector"], row["integrator"], row["grid"]


def _title(name: CurveName, found: StudyResult) -> str:
    """The grid is only named where there are several."""
    several = len({row["grid"] for row in found.rows}) > 1
    return " · ".join(name if several else name[:2])


def _table(found: StudyResult, name: CurveName, steps: tuple[int, ...]) -> CurveTable:
    rows = {row["steps"]: row for row in found.rows if _name(row) == name}
    slopes = {slope["quantity"]: slope for slope in found.slopes if _name(slope) == name}
    return CurveTable(
        name=_title(name, found),
        rows=tuple(rows.get(n) for n in steps),
        slopes=tuple(slopes.get(quantity) for quantity, _ in QUANTITIES),
    )


def _reference(found: StudyResult) -> str:
    about = found.reference
    if about["kind"] == "dopri5":
        return f"the full mixture's ODE solved by adaptive Dormand-Prince 5(4) to tolerance {about['rtol']:g}"
    return f"{about['steps']} DDIM steps of the full mixture on the uniform grid"


def _conditions(found: StudyResult) -> tuple[tuple[str, str], ...]:
    about = found.conditions
    return (
        ("samples", str(about["count"])),
        ("seed", str(about["seed"])),
        ("from t = 1 to", f"{about['delta']:g}"),
        ("router", str(about["router"])),
        ("experts", f"{about['experts']} × {about['expert']}"),
        ("schedule", str(about["schedule"])),
        ("precision", str(about["precision"])),
    )


def _chart(found: StudyResult) -> str:
    axes_of = (("steps", "steps N"), ("evaluations", "expert evaluations per sample"))

    def draw(figure: Figure) -> None:
        panels = figure.subplots(2, 2, squeeze=False)
        for line, (quantity, word) in zip(panels, QUANTITIES[:2], strict=True):
            for axes, (cost, label) in zip(line, axes_of, strict=True):
                _panel(axes, found, quantity, cost)
                axes.set_title(f"{word} error against {cost}")
                axes.set_xlabel(label)
                axes.set_ylabel(f"{word} of distance to the reference")
        legend_of(figure, panels.ravel(), columns=4)

    names = {_name(row) for row in found.rows}
    return svg(draw, width=860, height=680 + 22 * -(-len(names) // 4))


def _panel(axes: Axes, found: StudyResult, quantity: str, cost: str) -> None:
    names = list(dict.fromkeys(_name(row) for row in found.rows))
    # Selectors by colour, integrators by line, grids by marker.
    orders = [list(dict.fromkeys(name[i] for name in names)) for i in range(3)]
    for name in names:
        rows = [row for row in found.rows if _name(row) == name and row[quantity] > 0]
        selector, integrator, grid = (order.index(part) for order, part in zip(orders, name, strict=True))
        axes.plot(
            [row[cost] for row in rows],
            [row[quantity] for row in rows],
            color=colour(selector, len(orders[0])),
            linestyle=STYLES[integrator % len(STYLES)],
            marker=MARKERS[grid % len(MARKERS)],
            markersize=3.5,
            label=literal(_title(name, found)),
        )
    least = min((row[quantity] for row in found.rows if row[quantity] > 0), default=0.0)
    if found.floor[quantity] > NEAR * least:
        axes.axhline(found.floor[quantity], color=GREY, linestyle=":", linewidth=1.1, label="error of the reference")
    axes.set_xscale("log")
    plain_ticks(axes.xaxis)
    axes.set_yscale("log")
