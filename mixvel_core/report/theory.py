"""Theory: bounds beside what was measured, and where the error comes from, if `mixvel theory` has measured it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
from attrs import frozen
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixvel_core.analysis.records import BudgetRow, DistanceRow, TakeoverRow, TheoryReport
from mixvel_core.report.figures import (
    ACCENT,
    GREY,
    colour,
    legend_of,
    literal,
    panels,
    plain_ticks,
    svg,
    time_axis,
    wrapped,
)
from mixvel_core.report.inputs import Inputs

PairName: TypeAlias = tuple[str, str]
"""Selector, integrator."""
Row = TypeVar("Row", BudgetRow, DistanceRow, TakeoverRow)


@frozen(kw_only=True)
class Reading:
    """The budget of one selector and integrator in words: which part dominates when, and where networks take over."""

    name: str
    dominates: str
    takeover: str


@frozen(kw_only=True)
class TheoryContent:
    """Four charts; ``steps``: of the budget and the constants."""

    tiers: str
    budget: str
    epsilon: str
    lipschitz: str
    readings: tuple[Reading, ...]
    steps: int


def theory(inputs: Inputs) -> TheoryContent | None:
    """Charts and tables; None where `mixvel theory` has not measured this run."""
    found = inputs.theory
    if found is None or not found.distances:
        return None
    return TheoryContent(
        tiers=_tiers(found),
        budget=_budget(found),
        epsilon=_epsilon(found),
        lipschitz=_lipschitz(found),
        readings=tuple(_reading(name, found) for name in _pairs(found.budget)),
        steps=max(row.steps for row in found.distances),
    )


def _pairs(rows: Sequence[Row]) -> list[PairName]:
    return list(dict.fromkeys((row.selector, row.integrator) for row in rows))


def _of(rows: Sequence[Row], name: PairName) -> list[Row]:
    return [row for row in rows if (row.selector, row.integrator) == name]


def _reading(name: PairName, found: TheoryReport) -> Reading:
    """Stretches of time over which one part dominates, from noise to data; shorter ones than a tenth are left out."""
    rows = _of(found.budget, name)
    ends = [*(row.t for row in rows[1:]), found.conditions["delta"]]
    stretches: list[tuple[str, float, float]] = []
    for row, end in zip(rows, ends, strict=True):
        start = row.t
        if stretches and stretches[-1][0] == row.dominant:
            start = stretches.pop()[1]
        stretches.append((row.dominant, start, end))
    long = [s for s in stretches if s[1] - s[2] >= 0.1] or stretches
    return Reading(
        name=" · ".join(name),
        dominates="; ".join(f"{part} from t = {high:.2f} to {low:.2f}" for part, high, low in long),
        takeover=_of(found.takeover, name)[0].reading,
    )


def _tiers(found: TheoryReport) -> str:
    """The three tiers against N; the bounds' exponents have an axis of their own, for they are on another scale."""

    def draw(figure: Figure) -> None:
        bounds, errors = figure.subplots(1, 2)
        pairs = _pairs(found.distances)
        for i, name in enumerate(pairs):
            rows, label = _of(found.distances, name), literal(" · ".join(name))
            marked: dict[str, Any] = {"color": colour(i, len(pairs)), "marker": "o", "markersize": 3}
            steps, rms = [row.steps for row in rows], [row.rms for row in rows]
            for tier, style in (("paper", ":"), ("sharp", "--")):
                logs = [row.paper_log10 if tier == "paper" else row.sharp_log10 for row in rows]
                known = [(n, log) for n, log in zip(steps, logs, strict=True) if log is not None]
                if known:
                    bounds.plot(*zip(*known, strict=True), style, label=f"{tier}, {label}", **marked)
            bounds.plot(steps, np.log10(np.maximum(rms, 1e-300)), "-", color=marked["color"])
            errors.plot(steps, rms, "-", label=f"coupled, {label}", **marked)
            w2 = np.array([row.w2 for row in rows])
            around = [w2 - [row.w2_low for row in rows], [row.w2_high for row in rows] - w2]
            errors.errorbar(
                steps, w2, yerr=around, fmt="x", color=marked["color"], markersize=5, capsize=2, linewidth=0.8
            )
        floor = found.floor.value
        errors.axhline(floor, color=GREY, linestyle=":", linewidth=1.1, label="two exact sets of this size")
        bounds.axhline(np.log10(found.diameter), color=GREY, linewidth=1.1, label="the data's diameter")
        # Exponents from below 1 to 10^30: linear up to ten, logarithmic beyond.
        bounds.set_yscale("symlog", linthresh=10.0)
        bounds.set_ylim(bottom=min(-1.0, *(np.log10(row.rms) for row in found.distances if row.rms > 0)))
        bounds.set_ylabel("log₁₀ of the bound")
        bounds.set_title("bounds, and what is measured (solid)")
        errors.set_yscale("log")
        errors.set_ylabel("distance to the exact law")
        errors.set_title("measured: coupled RMS (lines), W₂ (crosses)")
        for axes in (bounds, errors):
            axes.set_xscale("log")
            plain_ticks(axes.xaxis)
            axes.set_xlabel("steps N")
        legend_of(figure, (bounds, errors), columns=3)

    return svg(draw, width=860, height=430)


def _budget(found: TheoryReport) -> str:
    """Shares of the parts over time, stacked, a panel for each selector and integrator."""

    def draw(axes: Axes, name: PairName) -> None:
        rows = _of(found.budget, name)
        squares = np.array([(row.drift, row.truncation, row.selection, row.network) for row in rows]).T
        total = squares.sum(axis=0)
        axes.stackplot(
            [row.t for row in rows],
            squares / np.where(total > 0, total, 1.0),
            labels=("drift", "truncation", "selection", "network"),
            colors=[GREY, *(colour(i, 10) for i in (0, 1, 3))],
            linewidth=0,
        )
        time_axis(axes)
        axes.set_ylim(0.0, 1.0)
        axes.set_title(wrapped(" · ".join(name), 34))
        axes.set_ylabel("share of the mean squares")

    return panels(_pairs(found.budget), draw, height=290, width=300, legend_columns=4)


Panel: TypeAlias = tuple[str, Literal["er", "ec"]]


def _epsilon(found: TheoryReport) -> str:
    middles = [0.5 * (row.low + row.high) for row in found.epsilon]

    def draw(axes: Axes, panel: Panel) -> None:
        title, name = panel
        pairs = [(r.er_sup, r.er_rms) if name == "er" else (r.ec_sup, r.ec_rms) for r in found.epsilon]
        for label, style, values in zip(("sup", "rms"), ("--", "-"), zip(*pairs, strict=True), strict=True):
            if None not in values:
                axes.plot(middles, values, style, color=ACCENT, marker="o", markersize=3, label=label)
        axes.set_title(title)
        time_axis(axes)
        axes.set_ylim(bottom=0.0)

    both: tuple[Panel, ...] = (("experts: ‖m̂ₖ − mₖ‖", "er"), ("router: |âₖ − aₖ|", "ec"))
    return panels(both, draw, height=240, width=430, legend_columns=2)


def _lipschitz(found: TheoryReport) -> str:
    rows = found.lipschitz

    def draw(axes: Axes, lines: Sequence[tuple[str, str, str, list[float]]]) -> None:
        for label, style, tint, values in lines:
            axes.plot([row.t for row in rows], values, style, color=tint, label=label)
        axes.set_yscale("log")
        time_axis(axes)
        axes.set_ylabel("Lipschitz constant of v")

    lines = (
        ("bound, paper", ":", GREY, [row.paper for row in rows]),
        ("bound, sharp", "--", GREY, [row.sharp for row in rows]),
        ("measured, largest", "-", ACCENT, [row.largest for row in rows]),
        ("measured, median", "-.", ACCENT, [row.median for row in rows]),
    )
    return panels([lines], draw, height=260, width=560, legend_columns=4)
