"""Stage `evaluate`: samples -> scores, beside what real data and pure noise would score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import asdict, frozen

from mixvel_core.errors import DataError
from mixvel_core.field.floats import Floats
from mixvel_core.field.gathered import Chosen
from mixvel_core.files import read_json, write_json
from mixvel_core.protocols import Items, Metric, Progress, ReferenceMetric, Score, Scorer
from mixvel_core.recipe.dump import plain
from mixvel_core.recipe.model import EvaluateOptions
from mixvel_core.stages.real import real_items
from mixvel_core.stages.sample import StoredSamples
from mixvel_core.stages.shards import Shards
from mixvel_core.stages.unit import Unit, key_of


@frozen(kw_only=True)
class Scores:
    """The artifact: ``rows`` of {method, steps, seed, evaluations, metric, value, larger_is_better,
    conditions}; ``floors``: real against real, and ``noise``: pure noise against real, in the same conditions.
    """

    rows: tuple[dict[str, Any], ...]
    floors: tuple[dict[str, Any], ...]
    noise: tuple[dict[str, Any], ...]


def evaluate(
    samples: Sequence[StoredSamples],
    shards: Shards,
    options: EvaluateOptions,
    folder: Path,
    progress: Progress,
    *,
    smoke: bool = False,
) -> Scores:
    """Scores every set of samples against the same real items.

    As many real items as there are samples are held out, at random, and compared with the reference like them: that
    is the floor below which no sampler can be told from the data. The reference is as many others, or all others.

    Args:
        samples: of the sample stage.
        shards: the real items, unless the options name others. Without either there are no scores.
        options: the metrics.
        folder: of the run; ``scores.json`` and its record go there.
        progress: a bar over sets of samples.
        smoke: every score states that it was measured at toy size, so that it is never compared with another.
    """
    unit = Unit(
        folder=folder,
        key=key_of(samples=[s.unit.digest() for s in samples], shards=shards.key, evaluate=plain(options), smoke=smoke),
        name="scored",
    )
    path = folder / "scores.json"
    if not unit.is_done():
        write_json(path, asdict(_scores(samples, shards, options, progress, {"smoke": "toy size"} if smoke else {})))
        unit.close([path.name])
    found = read_json(path)
    return Scores(rows=tuple(found["rows"]), floors=tuple(found["floors"]), noise=tuple(found["noise"]))


def _scores(
    samples: Sequence[StoredSamples],
    shards: Shards,
    options: EvaluateOptions,
    progress: Progress,
    stated: Mapping[str, str],
) -> Scores:
    real = real_items(options, shards.parts)
    if real is None:
        progress.line("evaluate: nothing to compare with, the data are with their owners; see `evaluate.data`")
        return Scores(rows=(), floors=(), noise=())
    if len(real) < 2:
        raise DataError(f"{len(real)} item in all: too few to compare samples with; take more data")
    count = min(len(samples[0].array("x")), len(real) // 2)
    rng = np.random.default_rng(options.seed)
    order = rng.permutation(len(real))
    last = 2 * count if options.reference == "same" else len(real)
    held_out = Floats(source=Chosen(source=real, rows=order[:count]))
    reference = Floats(source=Chosen(source=real, rows=order[count:last]))
    noise = rng.standard_normal(held_out.shape, np.float32)
    rows: list[dict[str, Any]] = []
    with progress.task("evaluate", len(samples) + 2, "sets") as bar:
        # The reference is read once, by the metrics that can: its features may take longer than all samples'.
        scorers = [_scorer(use.build(), reference) for use in options.metrics]
        floors = [_plain(score, stated) for scorer in scorers for score in scorer.scores(held_out)]
        bar.update(1)
        unstructured = [_plain(score, stated) for scorer in scorers for score in scorer.scores(noise)]
        bar.update(2)
        for done, one in enumerate(samples, start=3):
            x = one.array("x")[:count]
            about = {
                "method": one.draw.method,
                "steps": one.draw.steps,
                "seed": one.draw.seed,
                "evaluations": float(one.array("evaluations").mean()),
            }
            rows += [{**about, **_plain(score, stated)} for scorer in scorers for score in scorer.scores(x)]
            bar.update(done)
    return Scores(rows=tuple(rows), floors=tuple(floors), noise=tuple(unstructured))


@frozen(kw_only=True)
class _OneByOne:
    """A metric that reads the reference anew for each set of samples."""

    metric: Metric
    reference: Items

    def scores(self, samples: Items) -> Sequence[Score]:
        return (self.metric.score(samples, self.reference),)


def _scorer(metric: Metric, reference: Items) -> Scorer:
    if isinstance(metric, ReferenceMetric):
        return metric.against(reference)
    return _OneByOne(metric=metric, reference=reference)


def _plain(score: Score, stated: Mapping[str, str]) -> dict[str, Any]:
    return {
        "metric": score.name,
        "value": score.value,
        "larger_is_better": score.larger_is_better,
        "conditions": {**score.conditions, **stated},
    }
