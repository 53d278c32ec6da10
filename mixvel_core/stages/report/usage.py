"""Which experts a method evaluates, from noise to data."""

from __future__ import annotations

import numpy as np
from attrs import frozen
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixvel_core.stages.report.figures import colour, legend_of, svg
from mixvel_core.stages.report.inputs import Inputs
from mixvel_core.stages.report.section import Section
from mixvel_core.stages.sample import StoredSamples

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
            chart=_chart(routed, inputs.recipe.sample.delta),
            steps=steps,
            seed=inputs.first_seed,
            alone=tuple(one.draw.method for one in shown if one not in routed),
        ),
    )


def _chart(routed: list[StoredSamples], delta: float) -> str:
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
