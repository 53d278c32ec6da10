"""Scores: methods x steps, what each cell cost, and how low and how high scores can be in the same conditions."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixvel_core.stages.report.figures import GREY, colour, legend_of, literal, plain_ticks, suit_scale, svg
from mixvel_core.stages.report.inputs import Inputs
from mixvel_core.stages.report.section import Section
from mixvel_core.stages.report.tables import ScoreTable, score_tables
from mixvel_core.stages.report.wording import method_text

ABREAST = 3
FAR = 2.0
"""Pure noise is left out of a chart from this multiple of the worst score: it would squeeze the rest together."""


@frozen(kw_only=True)
class ScoresContent:
    """``how``: each method's router, selector and integrator. ``chart``: score against cost; None without scores."""

    tables: tuple[ScoreTable, ...]
    how: Mapping[str, str]
    seeds: int
    chart: str | None


def scores(inputs: Inputs) -> Section:
    """The tables in the form of the paper's Table 1."""
    tables = score_tables(inputs.scores, inputs.methods, inputs.steps)
    return Section(
        anchor="scores",
        title="Scores",
        stage="evaluate",
        template="scores.html.jinja",
        content=ScoresContent(
            tables=tables,
            how={one.draw.method: method_text(one.draw) for one in inputs.samples},
            seeds=len(inputs.recipe.sample.seeds),
            chart=_chart(tables, inputs.methods) if tables else None,
        ),
    )


def _chart(tables: tuple[ScoreTable, ...], methods: tuple[str, ...]) -> str:
    columns = min(ABREAST, len(tables))
    rows = -(-len(tables) // columns)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, table in zip(panels, tables, strict=False):
            _against_cost(axes, table, methods)
        for axes in panels[len(tables) :]:
            axes.set_axis_off()
        legend_of(figure, panels, columns=6)

    return svg(draw, width=max(330 * columns, 460), height=270 * rows + 40)


def _against_cost(axes: Axes, table: ScoreTable, methods: tuple[str, ...]) -> None:
    lines = {row.method: [cell for cell in row.cells if cell is not None] for row in table.rows}
    for method, cells in lines.items():
        cells.sort(key=lambda cell: cell.evaluations)
        axes.plot(
            [cell.evaluations for cell in cells],
            [cell.mean for cell in cells],
            marker="o",
            markersize=3.5,
            color=colour(methods.index(method), len(methods)),
            label=method,
        )
    drawn = [cell.mean for cells in lines.values() for cell in cells]
    if table.floor is not None:
        axes.axhline(table.floor, color=GREY, linestyle="--", linewidth=1.1, label="real against real")
        drawn.append(table.floor)
    if table.noise is not None and table.noise < FAR * max(drawn):
        axes.axhline(table.noise, color=GREY, linestyle=":", linewidth=1.1, label="pure noise")
        drawn.append(table.noise)
    axes.set_xscale("log")
    plain_ticks(axes.xaxis)
    suit_scale(axes, drawn)
    axes.set_title(literal(table.metric))
    axes.set_xlabel("expert evaluations per sample")
    axes.set_ylabel(literal(table.metric))
