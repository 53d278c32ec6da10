"""Study: error against steps and against cost, if `mixvel study` has measured it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from attrs import frozen
from matplotlib.axes import Axes

from mixvel_core.analysis.convergence import ErrorStatistics, Quantity
from mixvel_core.analysis.records import SlopeRow, StudyResult, StudyRow
from mixvel_core.artifacts.arrays import read_arrays
from mixvel_core.report.figures import GREY, colour, literal, panels, plain_ticks
from mixvel_core.report.inputs import Inputs
from mixvel_core.report.orders import OrdersContent, orders
from mixvel_core.report.samples import Picture, picture
from mixvel_core.report.scores import COSTS

STYLES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D")
SHOWN: tuple[Literal["median", "rms"], ...] = ("median", "rms")
NEAR = 0.1
"""The reference's own error is drawn from this part of the smallest error on; further down it squeezes the rest."""
QUANTITIES: dict[Quantity, str] = {"median": "median", "rms": "RMS", "mean_square": "mean square"}

CurveName: TypeAlias = tuple[str, str, str]
"""Selector, integrator, grid."""
Against: TypeAlias = Literal["seconds", "flops", "evaluations", "steps"]
Kind: TypeAlias = tuple[Literal["median", "rms"], Against]
"""What a panel shows against what."""
AXES: dict[Against, str] = {**{cost: axis for cost, (axis, _) in COSTS.items()}, "steps": "steps N"}


@frozen(kw_only=True)
class CurveTable:
    """One curve: its row of each step count with the seconds of one sample, and its slope of each quantity, None where
    there is none."""

    name: str
    rows: tuple[tuple[StudyRow, float] | None, ...]
    slopes: tuple[SlopeRow | None, ...]


@frozen(kw_only=True)
class StudyContent:
    """``quantities``: the columns of slopes. ``reference``: how it was made, in words. ``orders``: beside the scores of
    the same samplers, if there are any. ``round_trips``: whether a curve has one. ``interpolation``: None where there
    are no images."""

    chart: str
    steps: tuple[int, ...]
    curves: tuple[CurveTable, ...]
    quantities: tuple[str, ...]
    reference: str
    round_trips: bool
    interpolation: Picture | None
    orders: OrdersContent | None


def study(inputs: Inputs) -> StudyContent | None:
    """Tables and charts; None where `mixvel study` has not measured this run."""
    found = inputs.study
    if found is None or not found.rows:
        return None
    steps = tuple(sorted({row.steps for row in found.rows}))
    shown = [against for against in AXES if any(_cost(row, seconds, against) > 0 for row, seconds in _rows(found))]
    kinds: list[Kind] = [(quantity, against) for quantity in SHOWN for against in shown]
    return StudyContent(
        chart=panels(kinds, partial(_panel, found), height=300, width=430, columns=2, legend_columns=4),
        steps=steps,
        curves=tuple(_table(found, name, steps) for name in _names(found)),
        quantities=tuple(QUANTITIES.values()),
        reference=_reference(found),
        orders=orders(inputs),
        round_trips=any(row.round_trip is not None for row in found.rows),
        interpolation=_interpolation(found, inputs.folder / "study"),
    )


def _interpolation(found: StudyResult, folder: Path) -> Picture | None:
    """A row for each pair: an item, what lies between, the other item. None where the file is not there."""
    about = found.interpolation
    if not about or not (folder / about["file"]).exists():
        return None
    items, between = read_arrays(folder / about["file"], "items", "between")
    pairs, parts = len(items) // 2, about["parts"]
    rows = [
        image
        for pair in range(pairs)
        for image in (items[pair], *between[pair * parts : (pair + 1) * parts], items[pairs + pair])
    ]
    return picture(np.stack(rows), parts + 2)


def _rows(found: StudyResult) -> list[tuple[StudyRow, float]]:
    """The rows with the seconds of one sample."""
    return list(zip(found.rows, found.timings, strict=True))


def _cost(row: StudyRow, seconds: float, against: Against) -> float:
    costs = {"seconds": seconds, "flops": row.flops, "evaluations": row.evaluations, "steps": float(row.steps)}
    return costs[against]


def _name(row: StudyRow | SlopeRow) -> CurveName:
    return row.selector, row.integrator, row.grid


def _names(found: StudyResult) -> list[CurveName]:
    return list(dict.fromkeys(map(_name, found.rows)))


def _title(name: CurveName, found: StudyResult) -> str:
    """The grid is only named where there are several."""
    several = len({row.grid for row in found.rows}) > 1
    return " · ".join(name if several else name[:2])


def _table(found: StudyResult, name: CurveName, steps: tuple[int, ...]) -> CurveTable:
    rows = {row.steps: (row, seconds) for row, seconds in _rows(found) if _name(row) == name}
    slopes = {slope.quantity: slope for slope in found.slopes if _name(slope) == name}
    return CurveTable(
        name=_title(name, found),
        rows=tuple(rows.get(n) for n in steps),
        slopes=tuple(slopes.get(quantity) for quantity in QUANTITIES),
    )


def _reference(found: StudyResult) -> str:
    about = found.reference
    if about["kind"] == "dopri5":
        return f"the full mixture's ODE solved by adaptive Dormand-Prince 5(4) to tolerance {about['rtol']:g}"
    return f"{about['steps']} DDIM steps of the full mixture on the uniform grid"


def _error(row: ErrorStatistics, quantity: Literal["median", "rms"]) -> float:
    return row.median if quantity == "median" else row.rms


def _panel(found: StudyResult, axes: Axes, kind: Kind) -> None:
    quantity, against = kind
    names, word = _names(found), QUANTITIES[quantity]
    # Selectors by colour, integrators by line, grids by marker.
    orders = [list(dict.fromkeys(name[i] for name in names)) for i in range(3)]
    errors = []
    for name in names:
        rows = [(row, seconds) for row, seconds in _rows(found) if _name(row) == name and _error(row, quantity) > 0]
        selector, integrator, grid = (order.index(part) for order, part in zip(orders, name, strict=True))
        axes.plot(
            [_cost(row, seconds, against) for row, seconds in rows],
            [_error(row, quantity) for row, _ in rows],
            color=colour(selector, len(orders[0])),
            linestyle=STYLES[integrator % len(STYLES)],
            marker=MARKERS[grid % len(MARKERS)],
            markersize=3.5,
            label=literal(_title(name, found)),
        )
        errors += [_error(row, quantity) for row, _ in rows]
    floor = _error(found.floor, quantity)
    if floor > NEAR * min(errors, default=0.0):
        axes.axhline(floor, color=GREY, linestyle=":", linewidth=1.1, label="error of the reference")
    axes.set_xscale("log")
    plain_ticks(axes.xaxis, "{:g}".format if against == "steps" else COSTS[against][1])
    axes.set_yscale("log")
    axes.set_title(f"{word} error against {AXES[against]}")
    axes.set_xlabel(AXES[against])
    axes.set_ylabel(f"{word} of distance to the reference")
