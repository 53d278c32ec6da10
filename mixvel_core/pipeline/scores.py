"""Scores as they are kept: a table of all that was asked, and below it every score by what it depends on.

A cell is what one metric says of one set of samples, of real items that were held out, or of pure noise. Cells stay as
they were measured; what is asked next adds its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from attrs import asdict, fields_dict, frozen

from mixvel_core.artifacts.artifact import key_of
from mixvel_core.artifacts.files import read_checksummed_json, read_json, write_checksummed_json
from mixvel_core.cost.flops import ModelFlops
from mixvel_core.errors import ArtifactError
from mixvel_core.pipeline.sample import StoredSamples
from mixvel_core.pipeline.shards import Shards
from mixvel_core.protocols import Progress
from mixvel_core.recipe.dump import keyed
from mixvel_core.recipe.model import EvaluateOptions

SCORES_FILE, CELLS_FILE = "scores.json", "cells.json"

Cells: TypeAlias = Mapping[str, Sequence[dict[str, Any]]]
"""The scores of each cell, as plain data, by its key."""

FLOOR, NOISE = -2, -1
"""Sets besides samples 0, 1, ...: real items that were held out, and pure noise."""


@frozen(kw_only=True)
class Scores:
    """The artifact: ``rows`` of {method, steps, seed, evaluations, flops, metric, value, larger_is_better,
    conditions}, and of a single seed {halves}, the values of random halves of its samples; ``floors``: real against
    real, and ``noise``: pure noise against real, in the same conditions. ``timings``: {method, steps, seed, seconds,
    device} of every set of samples. Evaluations, FLOPs and seconds are of one sample. Only timings differ between two
    runs of a recipe. ``method`` is the name of the samples' row; ``asked``: the rows of what was asked last.
    """

    rows: tuple[dict[str, Any], ...]
    floors: tuple[dict[str, Any], ...]
    noise: tuple[dict[str, Any], ...]
    timings: tuple[dict[str, Any], ...]
    asked: tuple[str, ...] = ()


@frozen(kw_only=True)
class ToScore:
    """Sets of samples of one recipe, by whose ``options`` they are scored; ``flops``: of its models."""

    samples: tuple[StoredSamples, ...]
    options: EvaluateOptions
    flops: ModelFlops

    def identity(self) -> list[Any]:
        """What its rows depend on, as plain data."""
        return [[s.artifact.digest() for s in self.samples], [s.row for s in self.samples], keyed(self.options)]


def cell_key(asked: ToScore, shards: Shards, one: int, metric: int, smoke: bool) -> str:
    """The key of the scores of set number ``one`` by a metric: all that they depend on."""
    names = {FLOOR: "floor", NOISE: "noise"}
    options = asked.options
    return key_of(
        set=names[one] if one in names else asked.samples[one].artifact.digest(),
        count=asked.samples[0].count,
        metric=keyed(options.metrics[metric]),
        shards=shards.key,
        seed=options.seed,
        data=keyed(options.data),
        reference=options.reference,
        stated=stated_of(smoke, shards, options),
    )


def halves_key(asked: ToScore, cell: str) -> str:
    """The key of the same scores of random halves of the samples, where ``cell`` is that of all samples."""
    return key_of(halves_of=cell, halves=asked.options.halves)


def stated_of(smoke: bool, shards: Shards, options: EvaluateOptions) -> dict[str, str]:
    """What every score states of its conditions: that it was measured at toy size, if ``smoke``; by which codec samples
    were decoded, if there is one, and whether the real items were too."""
    stated = {"smoke": "toy size"} if smoke else {}
    if shards.codec is not None:
        real = "the real items too" if options.data is None else "the real items as they are"
        stated["decoded"] = f"samples by {shards.codec.stated}, {real}"
    return stated


def read_cells(folder: Path, progress: Progress) -> Cells | None:
    """All cells that a run has; None where it has none, or they are damaged, which is said in a line."""
    path = folder / CELLS_FILE
    if not path.exists():
        return None
    try:
        return dict(read_checksummed_json(path)["cells"])
    except (ArtifactError, KeyError, TypeError, ValueError):
        progress.line(f"{path}: damaged; all is scored again")
        return None


def write_cells(folder: Path, cells: Cells) -> None:
    """Keeps the cells of a run."""
    write_checksummed_json(folder / CELLS_FILE, {"cells": dict(cells)})


def scores_of(
    asked: Sequence[ToScore],
    shards: Shards,
    cells: Mapping[str, Sequence[dict[str, Any]]],
    smoke: bool,
) -> Scores:
    """The rows of all questions, each once; of scores that are the same for several, the first."""
    rows: dict[str, list[dict[str, Any]]] = {}
    baselines: dict[int, dict[str, Sequence[dict[str, Any]]]] = {FLOOR: {}, NOISE: {}}
    timings: dict[str, dict[str, Any]] = {}
    for question in asked:
        for number, one in enumerate(question.samples):
            timings[one.artifact.key] = {**_place(one), "seconds": one.time.each, "device": one.time.device}
            cost: dict[str, float] | None = None
            for metric in range(len(question.options.metrics)):
                key = cell_key(question, shards, number, metric, smoke)
                if key in cells and key not in rows:
                    cost = cost or asdict(question.flops.of_samples(one))
                    rows[key] = [{**_place(one), **cost, **score} for score in cells[key]]
                    # Scores that are taken of all samples alone come last.
                    for row, values in zip(rows[key], cells.get(halves_key(question, key), ()), strict=False):
                        row.update(values)
        for metric in range(len(question.options.metrics)) if question.samples else ():
            for baseline, known in baselines.items():
                key = cell_key(question, shards, baseline, metric, smoke)
                if key in cells:
                    known[key] = cells[key]
    return Scores(
        rows=tuple(row for scored in rows.values() for row in scored),
        floors=tuple(row for scored in baselines[FLOOR].values() for row in scored),
        noise=tuple(row for scored in baselines[NOISE].values() for row in scored),
        timings=tuple(timings.values()),
        asked=tuple(dict.fromkeys(one.row for one in asked[-1].samples)),
    )


def _place(one: StoredSamples) -> dict[str, Any]:
    return {"method": one.row, "steps": one.draw.steps, "seed": one.draw.seed}


def read_scores(folder: Path) -> Scores:
    """The scores of the run in ``folder``. Raises ArtifactError where there are none, or they are damaged."""
    path = folder / SCORES_FILE
    found = read_json(path)
    try:
        return Scores(**{name: tuple(found[name]) for name in fields_dict(Scores) if name in found})
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path}: damaged ({error}); remove it and run the recipe again") from None
