"""Samples to look at: the same starting noise in the same place, whatever the method and the step count."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from attrs import frozen
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixvel_core.field.scale import to_float
from mixvel_core.stages.report.figures import ACCENT, GREY, svg
from mixvel_core.stages.report.images import Picture, picture, square
from mixvel_core.stages.report.inputs import Inputs, some_real
from mixvel_core.stages.report.plane import Plane, plane_of
from mixvel_core.stages.report.section import Section
from mixvel_core.stages.report.wording import method_text

MOST_POINTS = 1000
"""Real items, and samples, in one scatter plot."""


@frozen(kw_only=True)
class ImagesContent:
    """``rows``: of each method, a picture for each step count. ``count``: images in a picture. ``real``: None where
    there are no real items here."""

    real: Picture | None
    steps: tuple[int, ...]
    rows: tuple[tuple[str, str, tuple[Picture, ...]], ...]
    count: int
    seed: int


@frozen(kw_only=True)
class VectorsContent:
    """``chart``: a panel for each method and step count. ``how``: each method's parts, for the text beside it.
    ``real``: whether real items stand behind the samples."""

    chart: str
    real: bool
    names: tuple[str, ...]
    how: Mapping[str, str]
    seed: int


def samples(inputs: Inputs) -> Section:
    """Pictures of images; points of vectors among the real ones."""
    return Section(
        anchor="samples",
        title="Samples",
        stage="sample",
        template="sample_images.html.jinja" if inputs.are_images else "sample_vectors.html.jinja",
        content=_images(inputs) if inputs.are_images else _vectors(inputs),
    )


def _images(inputs: Inputs) -> ImagesContent:
    count = min(inputs.recipe.report.images, inputs.recipe.sample.count)
    columns = square(count)
    rows = []
    for method in inputs.methods:
        shown = [inputs.shown(method, steps) for steps in inputs.steps]
        pictures = tuple(picture(one.array("x")[:count], columns) for one in shown)
        rows.append((method, method_text(shown[0].draw), pictures))
    real = some_real(inputs, count)
    return ImagesContent(
        real=picture(to_float(real), columns) if real is not None else None,
        steps=inputs.steps,
        rows=tuple(rows),
        count=count,
        seed=inputs.first_seed,
    )


def _vectors(inputs: Inputs) -> VectorsContent:
    items = some_real(inputs, MOST_POINTS)
    shown = {method: [inputs.shown(method, steps) for steps in inputs.steps] for method in inputs.methods}
    # Without real items the samples of one method say where to look.
    real = to_float(items) if items is not None else None
    seen = real if real is not None else shown[inputs.methods[-1]][-1].array("x")[:MOST_POINTS]
    plane = plane_of(seen)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(len(inputs.methods), len(inputs.steps), squeeze=False, sharex=True, sharey=True)
        window = _window(plane.of(seen))
        for method, row in zip(inputs.methods, panels, strict=True):
            for one, axes in zip(shown[method], row, strict=True):
                _cloud(axes, plane, real, one.array("x")[:MOST_POINTS])
                axes.set_title(f"{method}, {one.draw.steps} steps", fontweight="normal")
                axes.set_xlim(*window[0])
                if len(window) == 2:
                    axes.set_ylim(*window[1])
        figure.supxlabel(plane.names[0], fontsize=8.5)
        figure.supylabel(plane.names[1] if len(plane.names) == 2 else "density", fontsize=8.5)

    return VectorsContent(
        chart=svg(draw, width=60 + 225 * len(inputs.steps), height=40 + 200 * len(inputs.methods)),
        real=real is not None,
        names=plane.names,
        how={method: method_text(row[0].draw) for method, row in shown.items()},
        seed=inputs.first_seed,
    )


def _window(real: np.ndarray) -> list[tuple[float, float]]:
    """What the panels show: the real items with half their extent around; a sample may lie anywhere."""
    low, high = real.min(axis=0), real.max(axis=0)
    margin = np.maximum(0.25 * (high - low), 1e-3)
    return list(zip((low - margin).tolist(), (high + margin).tolist(), strict=True))


def _cloud(axes: Axes, plane: Plane, real: np.ndarray | None, found: np.ndarray) -> None:
    before = plane.of(found)
    if before.shape[1] == 1:
        if real is not None:
            axes.hist(plane.of(real)[:, 0], bins=40, density=True, color=GREY, alpha=0.5)
        axes.hist(before[:, 0], bins=40, density=True, histtype="step", color=ACCENT)
        return
    # As pixels: thousands of points as shapes would make the page slow.
    if real is not None:
        behind = plane.of(real)
        axes.scatter(behind[:, 0], behind[:, 1], s=5, color=GREY, alpha=0.45, linewidths=0, rasterized=True)
    axes.scatter(before[:, 0], before[:, 1], s=5, color=ACCENT, alpha=0.6, linewidths=0, rasterized=True)
