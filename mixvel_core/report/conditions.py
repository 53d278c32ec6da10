"""Conditions: samples by class, scores against the scale of the guidance, and which experts make which class.

Rows of the table that differ by the scale alone are one line here; what else sets guidances apart, such as an interval,
is part of a line's name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from attrs import frozen
from matplotlib.axes import Axes

from mixvel_core.data.conditions import class_spec
from mixvel_core.pipeline.sample import StoredSamples
from mixvel_core.protocols import CLASS
from mixvel_core.recipe.describe import chosen_options
from mixvel_core.report.figures import GREY, colour, literal, method_text, panels, suit_scale, wrapped
from mixvel_core.report.inputs import Inputs
from mixvel_core.report.samples import Picture, picture
from mixvel_core.report.tables import ScoreTable, score_tables

IMAGES = 6
"""Samples of each class in a picture."""
MOST_CLASSES = 20
"""Classes that have a row; of more, the first."""
MOST_PANELS = 9
"""Methods whose experts are shown by class."""


@frozen(kw_only=True)
class ByScale:
    """Sets of samples at one step count that differ by the scale of their guidance: the sets by w, rising."""

    name: str
    sets: Mapping[float, StoredSamples]

    @property
    def scales(self) -> tuple[str, ...]:
        """The scales, as column titles."""
        return tuple(f"w = {w:g}" for w in self.sets)


@frozen(kw_only=True)
class ClassPictures:
    """A method's samples: for each class a picture at each scale, None where it has no sample of that class."""

    method: ByScale
    rows: tuple[tuple[Picture | None, ...], ...]


@frozen(kw_only=True)
class ConditionsContent:
    """``classes``: names of the classes that are shown, of ``count`` in all. ``real``: real items of each, empty where
    they are not here. ``pictures``: empty where items are no images. ``against_scale``: a panel a metric, None where
    all samples are of one scale. ``experts``: None where no row is routed. ``steps``: of what is shown."""

    classes: tuple[str, ...]
    count: int
    real: tuple[Picture | None, ...]
    pictures: tuple[ClassPictures, ...]
    against_scale: str | None
    experts: str | None
    steps: int
    images: int = IMAGES


def conditions(inputs: Inputs) -> ConditionsContent | None:
    """All of it at the largest step count; None where samples have no classes."""
    spec = class_spec(inputs.shards.conditions)
    lines = by_scale(inputs)
    if spec is None or not lines:
        return None
    names = tuple(spec.labels) or tuple(map(str, range(spec.classes)))
    shown = range(min(spec.classes, MOST_CLASSES))
    return ConditionsContent(
        classes=names[: len(shown)],
        count=spec.classes,
        real=_real(inputs, shown) if inputs.are_images else (),
        pictures=tuple(_pictures(inputs, line, shown) for line in lines) if inputs.are_images else (),
        against_scale=_against_scale(inputs, lines),
        experts=_experts(inputs, lines, names),
        steps=max(inputs.steps),
    )


def scale_of(one: StoredSamples) -> float:
    """w of a set's guidance: of all times the one that is farthest from 1."""
    if one.draw.guidance is None:
        return 1.0
    guidance = one.draw.guidance.build()
    return max((guidance.at(float(t)) for t in one.array("times")), key=lambda w: abs(w - 1.0))


def labels_of(one: StoredSamples) -> np.ndarray | None:
    """The class of each sample, (n,) int64; None where they have none."""
    return one.conditions().get(CLASS)


def by_scale(inputs: Inputs) -> tuple[ByScale, ...]:
    """The rows of the table at the largest step count that were sampled under classes, by what but the scale sets them
    apart; first come those that were asked for first."""
    found: dict[str, dict[float, StoredSamples]] = {}
    for method in inputs.methods:
        one = inputs.shown(method, max(inputs.steps))
        if one is not None and labels_of(one) is not None:
            found.setdefault(_name(one), {})[scale_of(one)] = one
    return tuple(ByScale(name=name, sets=dict(sorted(sets.items()))) for name, sets in found.items())


def _name(one: StoredSamples) -> str:
    """How a set was sampled, without the scale of its guidance."""
    how, guidance = method_text(one.draw), one.draw.guidance
    if guidance is None or scale_of(one) == 1.0:
        return how
    options = [text for text in chosen_options(guidance) if not text.startswith("scale=")]
    kind = "" if guidance.name == "cfg" else guidance.name
    return " · ".join(filter(None, (how, " ".join(filter(None, (kind, ", ".join(options)))))))


def _pictures(inputs: Inputs, line: ByScale, shown: range) -> ClassPictures:
    def row(c: int) -> tuple[Picture | None, ...]:
        return tuple(_of_class(inputs, one, c) for one in line.sets.values())

    return ClassPictures(method=line, rows=tuple(map(row, shown)))


def _of_class(inputs: Inputs, one: StoredSamples, c: int) -> Picture | None:
    labels = labels_of(one)
    rows = np.empty(0, np.int64) if labels is None else np.flatnonzero(labels == c)[:IMAGES]
    return picture(inputs.decoded(one.array("x")[rows]), columns=IMAGES) if len(rows) else None


def _real(inputs: Inputs, shown: range) -> tuple[Picture | None, ...]:
    if not inputs.shards.are_local:
        return ()
    everything = inputs.shards.as_one
    labels = np.asarray(everything.condition_values()[CLASS][:])
    # At random: the first of a shard may be alike.
    order = np.random.default_rng(inputs.recipe.seed).permutation(len(labels))
    chosen = {c: np.sort(order[labels[order] == c][:IMAGES]) for c in shown}
    return tuple(
        picture(inputs.decoded(everything.items[rows]), columns=IMAGES) if len(rows) else None
        for rows in chosen.values()
    )


def _against_scale(inputs: Inputs, lines: Sequence[ByScale]) -> str | None:
    tables = score_tables(inputs.scores, inputs.methods, inputs.steps)
    if not tables or len({w for line in lines for w in line.sets}) < 2:
        return None
    return panels(tables, partial(_panel, inputs, lines), height=270, legend_columns=3)


def _panel(inputs: Inputs, lines: Sequence[ByScale], axes: Axes, table: ScoreTable) -> None:
    column = table.steps.index(max(inputs.steps))
    means = {row.method: cell.mean for row in table.rows if (cell := row.cells[column]) is not None}
    levels = []
    for i, line in enumerate(lines):
        points = [(w, means[one.row]) for w, one in line.sets.items() if one.row in means]
        if points:
            levels += [value for _, value in points]
            axes.plot(
                *zip(*points, strict=True), marker="o", markersize=3.5, color=colour(i, len(lines)), label=line.name
            )
    if table.floor is not None:
        axes.axhline(table.floor, color=GREY, linestyle="--", linewidth=1.1, label="real against real")
        levels.append(table.floor)
    if levels and not table.larger_is_better:
        suit_scale(axes, levels)
    axes.set_title(wrapped(table.metric, 36), fontsize=8)
    axes.set_xlabel("scale w of the guidance")


def _experts(inputs: Inputs, lines: Sequence[ByScale], names: Sequence[str]) -> str | None:
    """Shares of experts by class: of the items, then of one set of samples for each routed line."""
    K = len(inputs.shards.parts)
    routed = [line for line in lines if next(iter(line.sets.values())).draw.router is not None]
    shares: list[tuple[str, np.ndarray]] = []
    if inputs.shards.are_local:
        homes = np.repeat(np.arange(K), [part.count for part in inputs.shards.parts])
        labels = np.asarray(inputs.shards.as_one.condition_values()[CLASS][:])
        shares.append(("real items", class_shares(labels, homes, len(names), K)))
    for line in routed[: MOST_PANELS - len(shares)]:
        w, one = next(iter(line.sets.items()))
        found = labels_of(one)
        if found is not None:
            shares.append((f"{one.row} (w = {w:g})", class_shares(found, one.array("origin"), len(names), K)))
    return panels(shares, partial(_heat, names), height=120 + 16 * len(names)) if routed else None


def class_shares(labels: np.ndarray, experts: np.ndarray, C: int, K: int) -> np.ndarray:
    """p(k | c) in a set: of those of class c, the share with expert k, (C, K); nan where there are none."""
    inside = (labels >= 0) & (labels < C)
    counts = np.zeros((C, K))
    np.add.at(counts, (labels[inside], experts[inside]), 1.0)
    totals = counts.sum(axis=1, keepdims=True)
    shares: np.ndarray = np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
    return shares


def _heat(names: Sequence[str], axes: Axes, shares: tuple[str, np.ndarray]) -> None:
    title, values = shares
    axes.imshow(values, vmin=0.0, vmax=1.0, cmap="Blues", aspect="auto")
    axes.set_title(wrapped(title, 36), fontsize=8)
    axes.set_xlabel("expert")
    axes.set_xticks(range(values.shape[1]))
    axes.set_yticks(range(len(names)), [literal(name) for name in names])
    axes.grid(visible=False)
