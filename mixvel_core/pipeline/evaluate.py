"""Stage `evaluate`: samples -> scores, beside what real data and pure noise would score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import asdict, fields_dict, frozen

from mixvel_core.artifacts.artifact import Artifact, key_of, report_damage
from mixvel_core.artifacts.files import read_json, write_json
from mixvel_core.cost.flops import ModelFlops
from mixvel_core.data.items import Chosen, Floats
from mixvel_core.errors import ArtifactError, DataError
from mixvel_core.pipeline.origins import origins_of
from mixvel_core.pipeline.parts import mapper_of
from mixvel_core.pipeline.sample import StoredSamples
from mixvel_core.pipeline.shards import JoinedShard, Shards, are_local
from mixvel_core.plugin.definition import LauncherUse
from mixvel_core.protocols import (
    Items,
    Metric,
    OriginScorer,
    PreparedMetric,
    Progress,
    ReferenceMetric,
    Score,
    Shard,
)
from mixvel_core.recipe.dump import keyed
from mixvel_core.recipe.model import EvaluateOptions

if TYPE_CHECKING:
    import torch


SCORES_FILE = "scores.json"


def real_items(options: EvaluateOptions, parts: Sequence[Shard]) -> Items | None:
    """The items of ``evaluate.data`` if it is there, else those of all shards; None where these are with their owners.

    Raises DataError where the items are of another shape than the shards'.
    """
    if options.data is None:
        return JoinedShard(parts=tuple(parts)).items if are_local(parts) else None
    items = options.data.build().load().items
    shape = tuple(int(side) for side in items.shape[1:])
    if shape != parts[0].shape:
        raise DataError(f"evaluate.data: items of shape {shape} cannot be compared with samples of {parts[0].shape}")
    return items


@frozen(kw_only=True)
class Scores:
    """The artifact: ``rows`` of {method, steps, seed, evaluations, flops, metric, value, larger_is_better,
    conditions}; ``floors``: real against real, and ``noise``: pure noise against real, in the same conditions.
    ``timings``: {method, steps, seed, seconds, device} of every set of samples. Evaluations, FLOPs and seconds are of
    one sample. Only timings differ between two runs of a recipe.
    """

    rows: tuple[dict[str, Any], ...]
    floors: tuple[dict[str, Any], ...]
    noise: tuple[dict[str, Any], ...]
    timings: tuple[dict[str, Any], ...]


def evaluate(
    samples: Sequence[StoredSamples],
    shards: Shards,
    options: EvaluateOptions,
    flops: ModelFlops,
    folder: Path,
    progress: Progress,
    *,
    smoke: bool = False,
    launcher: LauncherUse | None = None,
) -> Scores:
    """Scores every set of samples against the same real items.

    As many real items as there are samples are held out, at random, and compared with the reference like them: that
    is the floor below which no sampler can be distinguished from the data. The reference is as many others, or all
    others; or all of ``evaluate.data``, and then items of the shards are compared like samples.

    Args:
        samples: of the sample stage.
        shards: the real items, unless the options name others. Without either there are no scores.
        options: the metrics.
        flops: of the models that were sampled.
        folder: of the run; ``scores.json`` and its record go there.
        progress: a bar over sets of samples.
        smoke: every score states that it was measured at toy size, so that it is never compared with another.
        launcher: whose workers score, one set by one metric at a time; this process if None.
    """
    artifact = Artifact(
        folder=folder,
        key=key_of(
            samples=[s.artifact.digest() for s in samples],
            shards=shards.key,
            evaluate=keyed(options),
            flops=asdict(flops),
            smoke=smoke,
        ),
        name="scored",
    )
    path = folder / SCORES_FILE
    if not artifact.is_done():
        report_damage([artifact.first_damaged()], progress)
        task = _Scoring(samples=tuple(samples), shards=shards, options=options, folder=folder.absolute())
        stated = {"smoke": "toy size"} if smoke else {}
        write_json(path, asdict(_scores(task, flops, stated, launcher, progress)))
        artifact.commit([path.name])
    return read_scores(folder)


def read_scores(folder: Path) -> Scores:
    """The scores of the run in ``folder``. Raises ArtifactError where there are none, or they are damaged."""
    path = folder / SCORES_FILE
    found = read_json(path)
    try:
        return Scores(**{name: tuple(found[name]) for name in fields_dict(Scores)})
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path}: damaged ({error}); remove it and run the recipe again") from None


def _scores(
    task: _Scoring, flops: ModelFlops, stated: Mapping[str, str], launcher: LauncherUse | None, progress: Progress
) -> Scores:
    timings = tuple({**_place(s), "seconds": s.time.each, "device": s.time.device} for s in task.samples)
    if task.options.data is None and not task.shards.are_local:
        progress.line("evaluate: nothing to compare with, the data are with their owners; see `evaluate.data`")
        return Scores(rows=(), floors=(), noise=(), timings=timings)
    for use in task.options.metrics:
        metric = use.build()
        if isinstance(metric, PreparedMetric):
            metric.prepare(progress)
    sets, metrics = (FLOOR, NOISE, *range(len(task.samples))), range(len(task.options.metrics))
    # A metric at a time: a worker that has read the reference for it goes on with it.
    parts = [(one, index) for index in metrics for one in sets]
    found: dict[tuple[int, int], Sequence[Score]] = {}
    with (
        progress.task("evaluate", len(sets), "sets") as bar,
        closing(mapper_of(launcher).map(task, parts, lambda index, done: None)) as results,
    ):
        for index, scores in results:
            found[parts[index]] = scores
            bar.update(len(found) // len(metrics))
    floors, noise, *others = [[_plain(s, stated) for index in metrics for s in found[one, index]] for one in sets]
    rows = [
        {**_place(one), **asdict(flops.of_samples(one)), **row}
        for one, scored in zip(task.samples, others, strict=True)
        for row in scored
    ]
    return Scores(rows=tuple(rows), floors=tuple(floors), noise=tuple(noise), timings=timings)


def _place(one: StoredSamples) -> dict[str, Any]:
    return {"method": one.draw.method, "steps": one.draw.steps, "seed": one.draw.seed}


FLOOR, NOISE = -2, -1
"""Sets besides samples 0, 1, ...: real items that were held out, and pure noise."""


@frozen(kw_only=True)
class _Scoring:
    """Sets by metrics; a part is the index of a set and that of a metric."""

    samples: tuple[StoredSamples, ...]
    shards: Shards
    options: EvaluateOptions
    folder: Path
    name: str = "evaluate"

    def begin(self, device: torch.device) -> Callable[[tuple[int, int], Callable[[int], None]], Sequence[Score]]:
        """Reads the real items. Metrics choose their own device; each reads the reference once, whose features may take
        longer than those of all samples."""
        rng = np.random.default_rng(self.options.seed)
        held_out, reference = self._apart(rng)
        count = len(held_out)
        noise = rng.standard_normal(held_out.shape, np.float32)
        measures: dict[int, Callable[[int, Mapping[int, Items]], Sequence[Score]]] = {}
        baselines: Mapping[int, Items] = {FLOOR: held_out, NOISE: noise}

        def score(part: tuple[int, int], on_progress: Callable[[int], None]) -> Sequence[Score]:
            one, metric = part
            if metric not in measures:
                measures[metric] = self._measure(self.options.metrics[metric].build(), reference, count)
            return measures[metric](one, baselines)

        return score

    def _measure(
        self, metric: Metric, reference: Items, count: int
    ) -> Callable[[int, Mapping[int, Items]], Sequence[Score]]:
        """What scores one set by ``metric``, whose features of the reference are computed once."""
        scorer = metric.against(reference) if isinstance(metric, ReferenceMetric) else None

        def measure(one: int, baselines: Mapping[int, Items]) -> Sequence[Score]:
            items = baselines[one] if one in baselines else self.samples[one].array("x")[:count]
            if scorer is None:
                return (metric.score(items, reference),)
            found = [*scorer.scores(items)]
            if isinstance(scorer, OriginScorer) and one not in baselines:
                origins = origins_of(self.samples[one], self.shards.parts, count)
                found += [] if origins is None else scorer.origin_scores(items, origins)
            return tuple(found)

        return measure

    def _apart(self, rng: np.random.Generator) -> tuple[Items, Items]:
        """The real items that are scored like samples, and those that they and the samples are compared with."""
        real = real_items(self.options, self.shards.parts)
        if real is None or len(real) < 2:
            found = 0 if real is None else len(real)
            raise DataError(f"{found} item in all: too few to compare samples with; take more data")
        count = len(self.samples[0].array("x"))
        if self.options.reference == "all":
            trained_on = JoinedShard(parts=self.shards.parts).items
            rows = rng.permutation(len(trained_on))[:count]
            return Floats(source=Chosen(source=trained_on, rows=rows)), Floats(source=real)
        count = min(count, len(real) // 2)
        order = rng.permutation(len(real))
        last = 2 * count if self.options.reference == "same" else len(real)
        return (
            Floats(source=Chosen(source=real, rows=order[:count])),
            Floats(source=Chosen(source=real, rows=order[count:last])),
        )


def _plain(score: Score, stated: Mapping[str, str]) -> dict[str, Any]:
    return {
        "metric": score.name,
        "value": score.value,
        "larger_is_better": score.larger_is_better,
        "conditions": {**score.conditions, **stated},
    }
