"""Shards: how many items each expert saw, of which labels and attributes, and what they look like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from attrs import field, fields_dict, frozen
from matplotlib.figure import Figure

from mixvel_core.artifacts.files import read_json
from mixvel_core.pipeline.models import model_stages
from mixvel_core.pipeline.shards import StoredShard
from mixvel_core.report.figures import colour, svg
from mixvel_core.report.inputs import Inputs, at_random, evenly_spaced
from mixvel_core.report.samples import Picture, picture, plane_of


@frozen(kw_only=True)
class ShardFacts:
    """What the partition stage wrote of a shard: the name that the partitioner gave it, empty where it gave none, and
    how many items have each label and each attribute."""

    name: str = ""
    labels: Mapping[str, int] = field(factory=dict)
    attributes: Mapping[str, int] = field(factory=dict)


def facts_of(part: StoredShard) -> ShardFacts:
    """The facts in the shard's folder."""
    found = read_json(part.folder / "shard.json")
    return ShardFacts(**{name: found[name] for name in fields_dict(ShardFacts) if name in found})


def most_different(found: Sequence[Mapping[str, int]], sizes: Sequence[int], most: int) -> tuple[str, ...]:
    """The ``most`` attributes whose part of a shard differs most between shards, in their own order, from the counts
    and the size of each shard."""
    names = list(dict.fromkeys(name for counts in found for name in counts))
    ranges = {name: float(np.ptp([c.get(name, 0) / n for c, n in zip(found, sizes, strict=True)])) for name in names}
    # The sort keeps the order of equals.
    chosen = set(sorted(names, key=lambda name: -ranges[name])[:most])
    return tuple(name for name in names if name in chosen)


SHOWN = 12
"""Images of each shard."""
MOST_ITEMS = 2000
"""Items of a shard that its mean and its points are taken from."""
MOST_DECODED = 64
"""The same of latents, which are decoded: a network may take its time."""
MOST_LABELS = 20
"""Columns of the table of labels; rarer labels are added up in a last one."""


@frozen(kw_only=True)
class ShardRow:
    """One shard. ``labels``, ``attributes``: a count for each column of these tables."""

    part: StoredShard
    name: str
    labels: tuple[int, ...]
    attributes: tuple[int, ...]
    mean: Picture | None
    items: Picture | None


@frozen(kw_only=True)
class ShardsContent:
    """``labels``, ``attributes``: the columns of these tables, empty without any; ``left_out``: attributes without a
    column. ``most_items``: of a shard's mean, and in ``chart``, of vectors."""

    provenance: Mapping[str, str]
    labels: tuple[str, ...]
    attributes: tuple[str, ...]
    left_out: int
    rows: tuple[ShardRow, ...]
    chart: str | None
    most_items: int = MOST_ITEMS


def shards(inputs: Inputs) -> ShardsContent:
    """A row for each shard."""
    facts = [facts_of(part) for part in inputs.shards.parts]
    columns = _columns([one.labels for one in facts])
    flags = [one.attributes for one in facts]
    shown = most_different(flags, [part.count for part in inputs.shards.parts], MOST_LABELS)
    rows = tuple(_row(inputs, part, one, columns, shown) for part, one in zip(inputs.shards.parts, facts, strict=True))
    names = dict(enumerate(inputs.shards.about.get("label_names", [])))
    return ShardsContent(
        provenance=inputs.shards.about.get("provenance", {}),
        labels=tuple(names.get(int(label), label) if label.isdecimal() else label for label in columns),
        attributes=shown,
        left_out=max(map(len, flags)) - len(shown),
        rows=rows,
        chart=None if inputs.are_images or not inputs.shards.are_local else _chart(inputs),
    )


OTHERS = "others"


def _columns(counts: list[Mapping[str, int]]) -> tuple[str, ...]:
    """The most frequent labels in their own order, and OTHERS if that is not all."""
    total: Counter[str] = Counter()
    for found in counts:
        total.update(found)
    frequent = sorted(total, key=lambda label: (-total[label], label))[:MOST_LABELS]
    ordered = sorted(frequent, key=lambda label: (int(label), "") if label.lstrip("-").isdecimal() else (0, label))
    return (*ordered, OTHERS) if len(total) > len(ordered) else tuple(ordered)


def _count(found: Mapping[str, int], label: str, columns: tuple[str, ...]) -> int:
    if label == OTHERS:
        return sum(count for name, count in found.items() if name not in columns)
    return found.get(label, 0)


def _row(
    inputs: Inputs, part: StoredShard, facts: ShardFacts, labels: tuple[str, ...], attributes: tuple[str, ...]
) -> ShardRow:
    mean = items = None
    if inputs.are_images and not inputs.shards.are_local:
        shared = model_stages(inputs.recipe, inputs.folder, inputs.shards).experts[part.index].result.moments()
        mean = picture(inputs.decoded(shared.mean.numpy()[None]), 1) if shared is not None else None
    elif inputs.are_images:
        most = MOST_ITEMS if inputs.codec is None else MOST_DECODED
        mean = picture(inputs.decoded(evenly_spaced(part, most)).mean(axis=0, keepdims=True), 1)
        items = picture(inputs.decoded(evenly_spaced(part, SHOWN)), SHOWN)
    return ShardRow(
        part=part,
        name=facts.name,
        labels=tuple(_count(facts.labels, label, labels) for label in labels),
        attributes=tuple(facts.attributes.get(name, 0) for name in attributes),
        mean=mean,
        items=items,
    )


def _chart(inputs: Inputs) -> str:
    plane = plane_of(inputs.decoded(at_random(inputs.shards, MOST_ITEMS, inputs.recipe.seed)))
    parts = inputs.shards.parts

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for part in parts:
            points = plane.of(inputs.decoded(evenly_spaced(part, MOST_ITEMS // len(parts) + 1)))
            y = points[:, 1] if points.shape[1] == 2 else np.full(len(points), float(part.index))
            tint = colour(part.index, len(parts))
            axes.scatter(points[:, 0], y, s=8, color=tint, linewidths=0, alpha=0.7, rasterized=True)
            axes.scatter([], [], s=20, color=tint, label=f"shard {part.index}")
        axes.set_xlabel(plane.names[0])
        axes.set_ylabel(plane.names[1] if len(plane.names) == 2 else "shard")
        if len(parts) <= MOST_LABELS:
            figure.legend(loc="outside right upper")

    return svg(draw, width=620, height=400)
