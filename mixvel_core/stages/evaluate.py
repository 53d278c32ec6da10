"""Stage `evaluate`: samples -> scores, beside what real data and pure noise would score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import asdict, frozen

from mixvel_core.errors import DataError
from mixvel_core.field.scale import to_float
from mixvel_core.files import read_json, write_json
from mixvel_core.protocols import Progress, Score
from mixvel_core.recipe.dump import plain
from mixvel_core.recipe.model import EvaluateOptions
from mixvel_core.stages.sample import StoredSamples
from mixvel_core.stages.shards import Shards
from mixvel_core.stages.unit import Unit, key_of


@frozen(kw_only=True)
class Scores:
    """The artifact: ``rows`` of {method, steps, seed, evaluations, metric, value, conditions}; ``floors``:
    real against real, and ``noise``: pure noise against real, each {metric, value, conditions}, in the same conditions.
    """

    rows: tuple[dict[str, Any], ...]
    floors: tuple[dict[str, Any], ...]
    noise: tuple[dict[str, Any], ...]


def evaluate(
    samples: Sequence[StoredSamples], shards: Shards, options: EvaluateOptions, folder: Path, progress: Progress
) -> Scores:
    """Scores every set of samples against the same real items.

    The real items are cut into two halves at random: samples are compared with half B, and half A, as many items as
    there are samples, is compared with B too: the floor below which no sampler can be told from the data.

    Args:
        samples: of the sample stage.
        shards: the real items.
        options: the metrics.
        folder: of the run; ``scores.json`` and its record go there.
        progress: a bar over sets of samples.
    """
    unit = Unit(
        folder=folder,
        key=key_of(samples=[s.unit.digest() for s in samples], shards=shards.key, evaluate=plain(options)),
        name="scored",
    )
    path = folder / "scores.json"
    if not unit.is_done():
        write_json(path, asdict(_scores(samples, shards, options, progress)))
        unit.close([path.name])
    found = read_json(path)
    return Scores(rows=tuple(found["rows"]), floors=tuple(found["floors"]), noise=tuple(found["noise"]))


def _scores(samples: Sequence[StoredSamples], shards: Shards, options: EvaluateOptions, progress: Progress) -> Scores:
    metrics = [use.build() for use in options.metrics]
    real = shards.whole.items
    if len(real) < 2:
        raise DataError(f"{len(real)} item in all: too few to compare samples with; take more data")
    count = min(len(samples[0].array("x")), len(real) // 2)
    rng = np.random.default_rng(options.seed)
    order = rng.permutation(len(real))
    half_a, half_b = to_float(real[order[:count]]), to_float(real[order[count : 2 * count]])
    noise = rng.standard_normal(half_a.shape).astype(np.float32)
    rows: list[dict[str, Any]] = []
    with progress.task("evaluate", len(samples) + 2, "sets") as bar:
        floors = [_plain(metric.score(half_a, half_b)) for metric in metrics]
        bar.update(1)
        unstructured = [_plain(metric.score(noise, half_b)) for metric in metrics]
        bar.update(2)
        for done, one in enumerate(samples, start=3):
            x = one.array("x")
            for metric in metrics:
                rows.append(
                    {
                        "method": one.draw.method,
                        "steps": one.draw.steps,
                        "seed": one.draw.seed,
                        "evaluations": float(one.array("evaluations").mean()),
                        **_plain(metric.score(x[:count], half_b)),
                    }
                )
            bar.update(done)
    return Scores(rows=tuple(rows), floors=tuple(floors), noise=tuple(unstructured))


def _plain(score: Score) -> dict[str, Any]:
    return {"metric": score.name, "value": score.value, "conditions": dict(score.conditions)}
