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
from mixvel_core.report.samples import Picture, picture

STYLES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D")
NEAR = 0.1
"""The reference's own error is drawn from this part of the smallest error on; further down it squeezes the rest."""
QUANTITIES: dict[Quantity, str] = {"median": "median", "rms": "RMS", "mean_square": "mean square"}

CurveName: TypeAlias = tuple[str, str, str]
"""Selector, integrator, grid."""
Kind: TypeAlias = tuple[Literal["median", "rms"], Literal["steps", "evaluations"]]
"""What a panel shows against what."""
KINDS: tuple[Kind, ...] = (("median", "steps"), ("median", "evaluations"), ("rms", "steps"), ("rms", "evaluations"))


@frozen(kw_only=True)
class CurveTable:
    """One curve: its row of each step count, and its slope of each quantity, None where there is none."""

    name: str
    rows: tuple[StudyRow | None, ...]
    slopes: tuple[SlopeRow | None, ...]


@frozen(kw_only=True)
class StudyContent:
    """``quantities``: the columns of slopes. ``reference``: how it was made, in words. ``round_trips``: whether a curve
    has one. ``interpolation``: None where there are no images."""

    chart: str
    steps: tuple[int, ...]
    curves: tuple[CurveTable, ...]
    quantities: tuple[str, ...]
    reference: str
    round_trips: bool
    interpolation: Picture | None


def study(inputs: Inputs) -> StudyContent | None:
    """Tables and charts; None where `mixvel study` has not measured this run."""
    found = inputs.study
    if found is None or not found.rows:
        return None
    steps = tuple(sorted({row.steps for row in found.rows}))
    return StudyContent(
        chart=panels(KINDS, partial(_panel, found), height=340, width=430, columns=2, legend_columns=4),
        steps=steps,
        curves=tuple(_table(found, name, steps) for name in _names(found)),
        quantities=tuple(QUANTITIES.values()),
        reference=_reference(found),
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


def _name(row: StudyRow | SlopeRow) -> CurveName:
    return row.selector, row.integrator, row.grid


def _names(found: StudyResult) -> list[CurveName]:
    return list(dict.fromkeys(map(_name, found.rows)))


def _title(name: CurveName, found: StudyResult) -> str:
    """The grid is only named where there are several."""
    several = len({row.grid for row in found.rows}) > 1
    return " · ".join(name if several else name[:2])


def _table(found: StudyResult, name: CurveName, steps: tuple[int, ...]) -> CurveTable:
    rows = {row.steps: row for row in found.rows if _name(row) == name}
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
    quantity, cost = kind
    names, word = _names(found), QUANTITIES[quantity]
    # Selectors by colour, integrators by line, grids by marker.
    orders = [list(dict.fromkeys(name[i] for name in names)) for i in range(3)]
    errors = []
    for name in names:
        rows = [row for row in found.rows if _name(row) == name and _error(row, quantity) > 0]
        selector, integrator, grid = (order.index(part) for order, part in zip(orders, name, strict=True))
        axes.plot(
            [row.steps if cost == "steps" else row.evaluations for row in rows],
            [_error(row, quantity) for row in rows],
            color=colour(selector, len(orders[0])),
            linestyle=STYLES[integrator % len(STYLES)],
            marker=MARKERS[grid % len(MARKERS)],
            markersize=3.5,
            label=literal(_title(name, found)),
        )
        errors += [_error(row, quantity) for row in rows]
    floor = _error(found.floor, quantity)
    if floor > NEAR * min(errors, default=0.0):
        axes.axhline(floor, color=GREY, linestyle=":", linewidth=1.1, label="error of the reference")
    axes.set_xscale("log")
    plain_ticks(axes.xaxis)
    axes.set_yscale("log")
    axes.set_title(f"{word} error against {cost}")
    axes.set_xlabel("steps N" if cost == "steps" else "expert evaluations per sample")
    axes.set_ylabel(f"{word} of distance to the reference")
