"""Samples to look at: the same starting noise in the same place, whatever the method and the step count."""

from __future__ import annotations

import base64
import math

import numpy as np
from attrs import evolve, frozen
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mixvel_core.data.pictures import grid, png
from mixvel_core.pipeline.sample import StoredSamples
from mixvel_core.report.figures import ACCENT, GREY, svg, wrapped
from mixvel_core.report.inputs import Inputs, some_real


@frozen(kw_only=True, eq=False)
class Plane:
    """``centre`` (D,), ``axes`` (D, 2) or, for D = 1, (D, 1). ``names``: of the coordinates."""

    centre: np.ndarray
    axes: np.ndarray
    names: tuple[str, ...]

    def of(self, items: np.ndarray) -> np.ndarray:
        """The coordinates of items (n, *data), (n, 2) or (n, 1)."""
        return np.asarray((items.reshape(len(items), -1) - self.centre) @ self.axes)


def plane_of(real: np.ndarray) -> Plane:
    """The first two coordinates of real items (n, *data), as they are up to two dimensions, principal ones beyond."""
    flat = real.reshape(len(real), -1).astype(np.float64)
    dimension = flat.shape[1]
    if dimension <= 2:
        names = tuple(f"coordinate {i}" for i in range(dimension))
        return Plane(centre=np.zeros(dimension), axes=np.eye(dimension), names=names)
    centre = flat.mean(axis=0)
    _, sizes, directions = np.linalg.svd(flat - centre, full_matrices=False)
    if len(directions) < 2:
        return Plane(centre=np.zeros(dimension), axes=np.eye(dimension)[:, :2], names=("coordinate 0", "coordinate 1"))
    axes = directions[:2].T
    # A principal direction has no sign of its own; its largest entry is made positive.
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    shares = sizes[:2] ** 2 / max(float((sizes**2).sum()), np.finfo(float).tiny)
    names = tuple(f"principal component {i + 1} ({share:.0%} of variance)" for i, share in enumerate(shares))
    return Plane(centre=centre, axes=axes, names=names)


SMALLEST = 32
"""Sides of an image on the page, in pixels: smaller ones are enlarged by a whole factor to at least this."""
WIDEST = 360
"""CSS pixels of a picture of samples in the table; a wider one is shown smaller, and whole where it is opened."""


@frozen(kw_only=True)
class Picture:
    """``source``: a data URI. ``width``: in CSS pixels. ``note``: what is not as in the other pictures."""

    source: str
    width: int
    note: str = ""

    @property
    def shown(self) -> int:
        """Its width in a table, in CSS pixels."""
        return min(self.width, WIDEST)


def picture(images: np.ndarray, columns: int) -> Picture:
    """Images (n, C, H, W) side by side."""
    made = grid(images, columns, scale=max(1, -(-SMALLEST // max(images.shape[2:]))))
    return Picture(source="data:image/png;base64," + base64.b64encode(png(made)).decode(), width=made.width)


def _picture_of(inputs: Inputs, one: StoredSamples, count: int, columns: int) -> Picture:
    note = "" if one.draw.seed == inputs.first_seed else f"seed {one.draw.seed}"
    return evolve(picture(inputs.decoded(one.array("x")[:count]), columns), note=note)


MOST_POINTS = 1000
"""Real items, and samples, in one scatter plot."""


@frozen(kw_only=True)
class ImagesContent:
    """``rows``: of each method, a picture for each step count, None where it was never asked for. ``count``: images in
    a picture. ``real``: None where there are no real items here."""

    real: Picture | None
    rows: tuple[tuple[str, str, tuple[Picture | None, ...]], ...]
    count: int


@frozen(kw_only=True)
class VectorsContent:
    """``chart``: a panel for each method and step count. ``real``: whether real items stand behind the samples."""

    chart: str
    real: bool
    names: tuple[str, ...]


def samples(inputs: Inputs) -> ImagesContent | VectorsContent:
    """Pictures of images; points of vectors among the real ones."""
    return _images(inputs) if inputs.are_images else _vectors(inputs)


def _images(inputs: Inputs) -> ImagesContent:
    count = min(inputs.recipe.report.images, inputs.recipe.sample.count)
    columns = math.ceil(math.sqrt(count))
    rows = []
    for method in inputs.methods:
        shown = [inputs.shown(method, steps) for steps in inputs.steps]
        pictures = tuple(None if one is None else _picture_of(inputs, one, count, columns) for one in shown)
        rows.append((method, inputs.settings(inputs.most_steps(method)), pictures))
    real = some_real(inputs, count)
    return ImagesContent(
        real=picture(real, columns) if real is not None else None,
        rows=tuple(rows),
        count=count,
    )


def _vectors(inputs: Inputs) -> VectorsContent:
    real = some_real(inputs, MOST_POINTS)
    shown = {method: [inputs.shown(method, steps) for steps in inputs.steps] for method in inputs.methods}
    # Without real items the samples of one method set the window.
    seen = real if real is not None else inputs.decoded(inputs.most_steps(inputs.methods[-1]).array("x")[:MOST_POINTS])
    plane = plane_of(seen)

    def draw(figure: Figure) -> None:
        window, first = _window(plane.of(seen)), None
        rows, columns = len(inputs.methods), len(inputs.steps)
        for place, (method, one) in enumerate((name, one) for name, row in shown.items() for one in row):
            if one is not None:
                axes = figure.add_subplot(rows, columns, place + 1, sharex=first, sharey=first)
                first = first or axes
                axes.label_outer()
                _cloud(axes, plane, real, inputs.decoded(one.array("x")[:MOST_POINTS]))
                axes.set_title(wrapped(f"{method}, {one.draw.steps} steps", 30), fontweight="normal", fontsize=8.5)
                axes.set_xlim(*window[0])
                if len(window) == 2:
                    axes.set_ylim(*window[1])
        figure.supxlabel(plane.names[0], fontsize=8.5)
        figure.supylabel(plane.names[1] if len(plane.names) == 2 else "density", fontsize=8.5)

    return VectorsContent(
        chart=svg(draw, width=60 + 225 * len(inputs.steps), height=40 + 200 * len(inputs.methods)),
        real=real is not None,
        names=plane.names,
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
