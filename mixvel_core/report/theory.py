"""Theory: bounds beside what was measured, and where the error comes from, if `mixvel theory` has looked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from attrs import frozen
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixvel_core.analysis.records import TheoryReport
from mixvel_core.report.figures import ACCENT, GREY, colour, legend_of, literal, plain_ticks, svg
from mixvel_core.report.inputs import Inputs, Section

PARTS = ("drift", "truncation", "selection", "network")
PLAIN = 5
"""Numbers with larger exponents are written as powers of ten."""

PairName: TypeAlias = tuple[str, str]
"""Selector, integrator."""


@frozen(kw_only=True)
class Line:
    """One constant: what the three tiers say of it."""

    name: str
    title: str
    paper: str
    sharp: str
    measured: str


@frozen(kw_only=True)
class Reading:
    """What the budget says of one selector and integrator: which part dominates when, and where networks take over."""

    name: str
    dominates: str
    takeover: str


@frozen(kw_only=True)
class TheoryContent:
    """The charts and their numbers; ``floor``: W_2 of two exact sets of ``points``."""

    tiers: str
    budget: str
    epsilon: str
    lipschitz: str
    lines: tuple[Line, ...]
    readings: tuple[Reading, ...]
    distances: tuple[Mapping[str, Any], ...]
    steps: int
    floor: float
    points: int
    diameter: float
    warnings: tuple[str, ...]
    against: str
    conditions: tuple[tuple[str, str], ...]


def theory(inputs: Inputs) -> Section | None:
    """Charts and tables; None where nothing was certified."""
    found = inputs.theory
    if found is None or not found.distances:
        return None
    about = found.conditions
    return Section(
        anchor="theory",
        title="Theory",
        stage="theory",
        template="theory.html.jinja",
        content=TheoryContent(
            tiers=_tiers(found),
            budget=_budget(found),
            epsilon=_epsilon(found),
            lipschitz=_lipschitz(found),
            lines=tuple(_line(row) for row in found.constants),
            readings=tuple(_reading(name, found) for name in _pairs(found.budget)),
            distances=found.distances,
            steps=max(row["steps"] for row in found.distances),
            floor=found.floor["value"],
            points=found.floor["n"][0],
            diameter=found.diameter,
            warnings=found.warnings,
            against=about["against"],
            conditions=(
                ("R", f"{about['R']:.4g}"),
                ("D", str(about["D"])),
                ("K", str(about["K"])),
                ("from t = 1 to", f"{about['delta']:g}"),
                ("schedule", str(about["schedule"])),
                ("router", str(about["router"])),
                ("trajectories", str(about["count"])),
                ("seed", str(about["seed"])),
                ("tolerance of the reference", f"{about['tolerance']:g}"),
            ),
        ),
    )


def _pairs(rows: Sequence[Mapping[str, Any]]) -> list[PairName]:
    return list(dict.fromkeys((row["selector"], row["integrator"]) for row in rows))


def _of(rows: Sequence[Mapping[str, Any]], name: PairName) -> list[Mapping[str, Any]]:
    return [row for row in rows if (row["selector"], row["integrator"]) == name]


def _formatted(log10: float | None) -> str:
    if log10 is None:
        return "–"
    if abs(log10) < PLAIN:
        return f"{10**log10:.3g}"
    return f"10^{log10:.1f}" if abs(log10) < 10**PLAIN else f"10^{log10:.2g}"


def _line(row: Mapping[str, Any]) -> Line:
    paper, sharp = (
        _formatted(row[f"{tier}_log10"]) + (" (vacuous)" if row[f"{tier}_vacuous"] else "")
        for tier in ("paper", "sharp")
    )
    return Line(
        name=row["name"], title=row["title"], paper=paper, sharp=sharp, measured=_formatted(row["measured_log10"])
    )


def _reading(name: PairName, found: TheoryReport) -> Reading:
    """Stretches of time over which one part dominates, from noise to data; shorter ones than a tenth are left out."""
    rows = _of(found.budget, name)
    stretches: list[tuple[str, float, float]] = []
    for n, row in enumerate(rows):
        end = rows[n + 1]["t"] if n + 1 < len(rows) else found.conditions["delta"]
        if stretches and stretches[-1][0] == row["dominant"]:
            stretches[-1] = (row["dominant"], stretches[-1][1], end)
        else:
            stretches.append((row["dominant"], row["t"], end))
    long = [s for s in stretches if s[1] - s[2] >= 0.1] or stretches
    [said] = [row["says"] for row in _of(found.takeover, name)]
    return Reading(
        name=" · ".join(name),
        dominates="; ".join(f"{part} from t = {high:.2f} to {low:.2f}" for part, high, low in long),
        takeover=said,
    )


def _tiers(found: TheoryReport) -> str:
    """The three tiers against N; the bounds' exponents have an axis of their own, for they are on another scale."""

    def draw(figure: Figure) -> None:
        bounds, errors = figure.subplots(1, 2)
        pairs = _pairs(found.distances)
        for i, name in enumerate(pairs):
            rows, shade, label = _of(found.distances, name), colour(i, len(pairs)), literal(" · ".join(name))
            steps = [row["steps"] for row in rows]
            for tier, style in (("paper", ":"), ("sharp", "--")):
                known = [(row["steps"], row[f"{tier}_log10"]) for row in rows if row[f"{tier}_log10"] is not None]
                if known:
                    bounds.plot(
                        *zip(*known, strict=True),
                        style,
                        color=shade,
                        marker="o",
                        markersize=3,
                        label=f"{tier}, {label}",
                    )
            errors.plot(
                steps,
                [row["rms"] for row in rows],
                "-",
                color=shade,
                marker="o",
                markersize=3,
                label=f"coupled, {label}",
            )
            bounds.plot(steps, [np.log10(max(row["rms"], 1e-300)) for row in rows], "-", color=shade)
            w2 = [row["w2"] for row in rows]
            around = [[row["w2"] - row["w2_low"] for row in rows], [row["w2_high"] - row["w2"] for row in rows]]
            errors.errorbar(steps, w2, yerr=around, fmt="x", color=shade, markersize=5, capsize=2, linewidth=0.8)
        errors.axhline(
            found.floor["value"], color=GREY, linestyle=":", linewidth=1.1, label="two exact sets of this size"
        )
        bounds.axhline(np.log10(found.diameter), color=GREY, linewidth=1.1, label="the data's diameter")
        # Exponents from below 1 to 10^30: linear up to ten, logarithmic beyond.
        bounds.set_yscale("symlog", linthresh=10.0)
        bounds.set_ylim(bottom=min(-1.0, *(np.log10(row["rms"]) for row in found.distances if row["rms"] > 0)))
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
    """Shares of the parts over time, stacked, and above which error they build up."""
    pairs = _pairs(found.budget)

    def draw(figure: Figure) -> None:
        for axes, name in zip(figure.subplots(1, len(pairs), squeeze=False, sharey=True)[0], pairs, strict=True):
            _stack(axes, _of(found.budget, name))
            axes.set_title(literal(" · ".join(name)))
            axes.set_xlabel("t (noise left, data right)")
        figure.axes[0].set_ylabel("share of the mean squares of the parts")
        legend_of(figure, figure.axes, columns=4)

    return svg(draw, width=max(430, 290 * len(pairs)), height=320)


def _stack(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    squares = np.array([[row[part] for row in rows] for part in PARTS])
    total = squares.sum(axis=0)
    shares = squares / np.where(total > 0, total, 1.0)
    colours = [GREY, *(colour(i, 10) for i in (0, 1, 3))]
    axes.stackplot([row["t"] for row in rows], shares, labels=PARTS, colors=colours, linewidth=0)
    axes.set_xlim(1.0, 0.0)
    axes.set_ylim(0.0, 1.0)


def _epsilon(found: TheoryReport) -> str:
    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, 2)
        middles = [0.5 * (row["low"] + row["high"]) for row in found.epsilon]
        titles = ("experts: ‖m̂ₖ − mₖ‖", "router: |âₖ − aₖ|")
        for axes, name, title in zip(panels, ("er", "ec"), titles, strict=True):
            for kind, style in (("sup", "--"), ("rms", "-")):
                values = [row[f"{name}_{kind}"] for row in found.epsilon]
                if all(value is not None for value in values):
                    axes.plot(middles, values, style, color=ACCENT, marker="o", markersize=3, label=kind)
            axes.set_title(title)
            axes.set_xlabel("t")
            axes.set_xlim(1.0, 0.0)
            axes.set_ylim(bottom=0.0)
        legend_of(figure, panels, columns=2)

    return svg(draw, width=860, height=280)


def _lipschitz(found: TheoryReport) -> str:
    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        t = [row["t"] for row in found.lipschitz]
        for name, label, style in (
            ("paper", "bound, paper", ":"),
            ("sharp", "bound, sharp", "--"),
            ("largest", "measured, largest", "-"),
            ("median", "measured, median", "-."),
        ):
            axes.plot(
                t, [row[name] for row in found.lipschitz], style, color=ACCENT if name[0] in "lm" else GREY, label=label
            )
        axes.set_yscale("log")
        axes.set_xlim(1.0, 0.0)
        axes.set_xlabel("t")
        axes.set_ylabel("Lipschitz constant of v")
        legend_of(figure, (axes,), columns=4)

    return svg(draw, width=560, height=300)
