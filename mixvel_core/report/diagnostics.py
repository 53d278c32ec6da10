"""Disagreement of experts along trajectories and their alignment with shards: why some rows of the table win."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from attrs import frozen
from matplotlib.axes import Axes

from mixvel_core.analysis.alignment import MIXTURE, MONOLITH, OWN, AlignmentRow
from mixvel_core.analysis.diagnostics import Diagnostics, tops_of
from mixvel_core.analysis.disagreement import DisagreementRow
from mixvel_core.report.figures import ACCENT, GREY, colour, literal, panels, suit_scale, time_axis
from mixvel_core.report.inputs import Inputs

STYLES = ("-", "--", ":")
MAPS = 3
"""Times at which all pairs of expert and shard are shown: near data, between, and near noise."""
MOST_WRITTEN = 10
"""Experts up to which a map has its numbers written in."""
RULES = {OWN: "-.", MONOLITH: "-.", MIXTURE: "-", "top-1": "--", "top-2": ":"}
"""The line of each rule."""


@frozen(kw_only=True)
class DiagnosticsContent:
    """``alignment``, ``maps``: None where the items are not here. ``points``, ``items``: how many of each."""

    flow: str
    alignment: str | None
    maps: str | None
    points: int
    items: int


def diagnostics(inputs: Inputs) -> DiagnosticsContent | None:
    """The charts; None where nothing was measured."""
    found = inputs.diagnostics
    if found is None:
        return None
    routers = list(dict.fromkeys(row.router for row in found.flow))
    columns = ("disagreement", "share of weight", "left out", "imbalance")
    rows = found.alignment
    losses = partial(_losses, found, routers)
    chosen = [rows[round(i * (len(rows) - 1) / (MAPS - 1))] for i in range(MAPS)] if rows else []
    return DiagnosticsContent(
        flow=panels(columns, partial(_along, found, routers), height=260, width=430, columns=2, legend_columns=6),
        alignment=panels(("experts", "rules"), losses, height=300, width=430, legend_columns=4) if rows else None,
        maps=panels(chosen, _map, height=300, width=320) if rows else None,
        points=found.points,
        items=found.items,
    )


def _along(found: Diagnostics, routers: Sequence[str], axes: Axes, column: str) -> None:
    for i, router in enumerate(routers):
        rows = [row for row in found.flow if row.router == router]
        tint = colour(i, len(routers))
        if column == "disagreement":
            axes.plot([r.t for r in rows], [r.disagreement for r in rows], color=tint, label=literal(router))
            continue
        for top, style in zip(tops_of(rows), STYLES, strict=False):
            values = [_of_top(row, column)[top - 1] for row in rows]
            axes.plot([r.t for r in rows], values, style, color=tint, label=literal(f"{router}, top {top}"))
    titles = {
        "disagreement": "disagreement: Σ aₖ ‖mₖ − m‖² / D",
        "share of weight": "share of weight on the top k",
        "left out": "what the top k leave out: ‖m_top − m‖² / D",
        "imbalance": "shift of the experts' shares by the top k",
    }
    axes.set_title(titles[column])
    axes.set_ylim(bottom=0.0)
    time_axis(axes)


def _of_top(row: DisagreementRow, column: str) -> tuple[float, ...]:
    return {"share of weight": row.shares, "left out": row.errors, "imbalance": row.imbalance}[column]


def _losses(found: Diagnostics, routers: Sequence[str], axes: Axes, panel: str) -> None:
    if panel == "experts":
        values = _experts(found.alignment, axes)
        axes.set_title("denoising loss of each expert")
    else:
        values = _rules(found, routers, axes)
        axes.set_title("denoising loss of what is made of them")
    suit_scale(axes, values)
    time_axis(axes)


def _experts(rows: Sequence[AlignmentRow], axes: Axes) -> list[float]:
    times, K = [row.t for row in rows], len(rows[0].losses)
    seen = []
    for k in range(K):
        own = [row.losses[k][k] for row in rows]
        others = [(sum(row.losses[k]) - row.losses[k][k]) / (K - 1) for row in rows]
        axes.plot(times, own, color=ACCENT, alpha=0.6, linewidth=1.0, label="on its own shard")
        axes.plot(times, others, color=GREY, alpha=0.6, linewidth=1.0, label="on the others' shards, mean")
        seen += own + others
    return seen


def _rules(found: Diagnostics, routers: Sequence[str], axes: Axes) -> list[float]:
    seen = []
    for router, rule in dict.fromkeys((row.router, row.rule) for row in found.rules):
        rows = [row for row in found.rules if (row.router, row.rule) == (router, rule)]
        tint = colour(routers.index(router), len(routers)) if router else "#222222" if rule == OWN else GREY
        name = f"{router}, {rule}" if router else rule
        losses = [row.loss for row in rows]
        axes.plot([r.t for r in rows], losses, RULES[rule], color=tint, label=literal(name))
        seen += losses
    return seen


def _map(axes: Axes, row: AlignmentRow) -> None:
    """log2 of the loss of expert k on shard j over that of shard j's own expert."""
    K = len(row.losses)
    own = [row.losses[j][j] for j in range(K)]
    table = [[math.log2(max(row.losses[k][j], 1e-12) / max(own[j], 1e-12)) for j in range(K)] for k in range(K)]
    most = max(1.0, max(abs(value) for line in table for value in line))
    axes.imshow(table, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto", interpolation="nearest")
    if K <= MOST_WRITTEN:
        for k, line in enumerate(table):
            for j, value in enumerate(line):
                ink = "white" if abs(value) > 0.7 * most else "black"
                axes.text(j, k, f"{value:.1f}", ha="center", va="center", fontsize=6.5, color=ink)
        axes.set_xticks(range(K))
        axes.set_yticks(range(K))
    axes.grid(visible=False)
    axes.set_title(f"t = {row.t:.2f}")
    axes.set_xlabel("items of shard")
    axes.set_ylabel("expert")
