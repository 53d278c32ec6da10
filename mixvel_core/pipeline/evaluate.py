"""Stage `evaluate`: samples -> scores, beside what real data and pure noise would score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from attrs import asdict, frozen

from mixvel_core.artifacts.artifact import Artifact, key_of, report_damage
from mixvel_core.artifacts.files import write_json
from mixvel_core.cost.flops import ModelFlops
from mixvel_core.data.items import Chosen, Floats
from mixvel_core.errors import DataError
from mixvel_core.pipeline.board import show_scores
from mixvel_core.pipeline.halves import half_rows, half_values, single_seeds
from mixvel_core.pipeline.origins import origins_of
from mixvel_core.pipeline.parts import mapper_of
from mixvel_core.pipeline.sample import StoredSamples
from mixvel_core.pipeline.scores import (
    CELLS_FILE,
    FLOOR,
    NOISE,
    SCORES_FILE,
    Cells,
    Scores,
    ToScore,
    cell_key,
    halves_key,
    read_cells,
    read_scores,
    scores_of,
    stated_of,
    write_cells,
)
from mixvel_core.pipeline.shards import JoinedShard, Shards, are_local
from mixvel_core.plugin.definition import LauncherUse
from mixvel_core.protocols import (
    CLASS,
    ConditionScorer,
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

    from mixvel_core.data.latents import PlacedCodec


def real_items(options: EvaluateOptions, parts: Sequence[Shard], codec: PlacedCodec | None = None) -> Items | None:
    """The items of ``evaluate.data`` if it is there, else those of all shards, decoded where these hold latents of
    ``codec``; None where they are with their owners.

    Raises DataError where the items are of another shape than decoded samples.
    """
    if options.data is None:
        return decoded_items(JoinedShard(parts=tuple(parts)).items, codec) if are_local(parts) else None
    items = options.data.build().load().items
    shape = tuple(int(side) for side in items.shape[1:])
    wanted = parts[0].shape if codec is None else codec.codec.data_shape
    if shape != wanted:
        raise DataError(f"evaluate.data: items of shape {shape} cannot be compared with samples of {wanted}")
    return items


def decoded_items(items: Items, codec: PlacedCodec | None) -> Items:
    """Items of the data: those that latents are of, where there is a codec."""
    return items if codec is None else codec.decoded(items)


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
    threads: int | None = None,
    earlier: Sequence[ToScore] = (),
    labelled: bool = False,
) -> Scores:
    """Scores every set of samples against the same real items; what was scored before is not scored again.

    As many real items as there are samples are held out, at random, and compared with the reference like them: that
    is the floor below which no sampler can be distinguished from the data. The reference is as many others, or all
    others; or all of ``evaluate.data``, and then items of the shards are compared like samples.

    Args:
        samples: of the sample stage.
        shards: the real items, unless the options name others. Without either there are no scores.
        options: the metrics.
        flops: of the models that were sampled.
        folder: of the run; ``scores.json``, all that was ever scored and their record go there.
        progress: a bar over sets of samples.
        smoke: every score states that it was measured at toy size, so that it is never compared with another.
        launcher: whose workers score, one set by one metric at a time; this process if None.
        threads: of this process's linear algebra, where it scores; its own number if None.
        earlier: what was asked before: the scores it has are among the rows, and what it lacks is not scored.
        labelled: whether the class that samples are asked to be is the label of the data: metrics that know labels
            (``ConditionScorer``) then score how many samples are of the class.
    """
    now = ToScore(samples=tuple(samples), options=options, flops=flops)
    key = key_of(
        samples=[s.artifact.digest() for s in samples],
        shards=shards.key,
        evaluate=keyed(options),
        flops=flops.counts(),
        smoke=smoke,
        **({"earlier": [one.identity() for one in earlier]} if earlier else {}),
    )
    artifact = Artifact(folder=folder, key=key, name="scored")
    path = folder / SCORES_FILE
    if not artifact.is_done():
        report_damage([artifact.first_damaged()], progress)
        known = read_cells(folder, progress)
        cells = dict(known or {})
        # What a version that kept no cells has scored is scored once more, to the same values.
        for one in [now] if known is not None else [*earlier, now]:
            with _threads(threads):
                cells |= _new_cells(one, shards, cells, folder, launcher, progress, smoke, labelled)
        write_cells(folder, cells)
        found = scores_of([*earlier, now], shards, cells, smoke)
        write_json(path, asdict(found))
        artifact.commit([path.name, CELLS_FILE])
        show_scores(found, folder)
    return read_scores(folder)


def _threads(count: int | None) -> AbstractContextManager[object]:
    """Sets are small: several threads that wait for each other make scores three to twenty times slower."""
    if count is None:
        return nullcontext()
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # publishes no types

    limits: AbstractContextManager[object] = threadpool_limits(limits=count)
    return limits


def _new_cells(
    asked: ToScore,
    shards: Shards,
    known: Cells,
    folder: Path,
    launcher: LauncherUse | None,
    progress: Progress,
    smoke: bool,
    labelled: bool,
) -> dict[str, list[dict[str, Any]]]:
    """The scores of every set by every metric that are not ``known``, by the keys of their cells."""
    if not asked.samples:
        return {}
    if asked.options.data is None and not shards.are_local:
        progress.line("evaluate: nothing to compare with, the data are with their owners; see `evaluate.data`")
        return {}
    task = _Scoring(
        samples=asked.samples, shards=shards, options=asked.options, folder=folder.absolute(), labelled=labelled
    )
    sets, metrics = (FLOOR, NOISE, *range(len(task.samples))), range(len(task.options.metrics))
    keys = {(one, index): cell_key(asked, shards, one, index, smoke) for index in metrics for one in sets}
    by_halves = single_seeds(asked.samples) if asked.options.halves and task.rows_of_halves() else frozenset()
    halves = {part: halves_key(asked, key) for part, key in keys.items() if part[0] in by_halves}
    # A metric at a time: a worker that has read the reference for it goes on with it.
    parts = [part for part, key in keys.items() if key not in known or halves.get(part, key) not in known]
    if not parts:
        return {}
    for index in sorted({index for _, index in parts}):
        metric = task.options.metrics[index].build()
        if isinstance(metric, PreparedMetric):
            metric.prepare(progress)
    stated = stated_of(smoke, shards, asked.options)
    found: dict[str, list[dict[str, Any]]] = {}
    with (
        progress.task("evaluate", len({one for one, _ in parts}), "sets") as bar,
        closing(mapper_of(launcher).map(task, parts, lambda index, done: None)) as results,
    ):
        count = len({index for _, index in parts})
        for done, (index, (scores, of_halves)) in enumerate(results, start=1):
            part = parts[index]
            found[keys[part]] = [_plain(score, stated) for score in scores]
            if part in halves:
                found[halves[part]] = [{"halves": values} for values in of_halves]
            bar.update(done // count)
    return found


Scored: TypeAlias = tuple[Sequence[Score], Sequence[Sequence[float]]]
"""The scores of a set by one metric, and for each of them its values of random halves of the set."""


@frozen(kw_only=True)
class _Scoring:
    """Sets by metrics; a part is the index of a set and that of a metric."""

    samples: tuple[StoredSamples, ...]
    shards: Shards
    options: EvaluateOptions
    folder: Path
    labelled: bool
    name: str = "evaluate"

    def rows_of_halves(self) -> list[np.ndarray]:
        """The rows of each half of the samples that are scored; none where these are too few."""
        return half_rows(self.samples[0].count, self.options.halves, self.options.seed)

    def begin(self, device: torch.device) -> Callable[[tuple[int, int], Callable[[int], None]], Scored]:
        """Reads the real items. Metrics choose their own device; each reads the reference once, whose features may take
        longer than those of all samples."""
        codec = None if self.shards.codec is None else self.shards.codec.load(device)
        rng = np.random.default_rng(self.options.seed)
        held_out, reference = self._apart(rng, codec)
        count = len(held_out)
        noise: Items = rng.standard_normal((count, *self.shards.shape), np.float32)
        if codec is not None:
            # Read once, as samples are: several metrics read them, and so do the halves of a set.
            held_out, noise = held_out[:], codec.decoded(noise)[:]
        measures: dict[int, Callable[[int, Mapping[int, Items]], Scored]] = {}
        baselines: Mapping[int, Items] = {FLOOR: held_out, NOISE: noise}

        def score(part: tuple[int, int], on_progress: Callable[[int], None]) -> Scored:
            one, metric = part
            if metric not in measures:
                measures[metric] = self._measure(self.options.metrics[metric].build(), reference, count, codec)
            return measures[metric](one, baselines)

        return score

    def _measure(
        self, metric: Metric, reference: Items, count: int, codec: PlacedCodec | None
    ) -> Callable[[int, Mapping[int, Items]], Scored]:
        """What scores one set by ``metric``, whose features of the reference are computed once."""
        scorer = metric.against(reference) if isinstance(metric, ReferenceMetric) else None
        by_halves = single_seeds(self.samples) if self.options.halves else frozenset()
        rows = half_rows(count, self.options.halves, self.options.seed)

        def measure(one: int, baselines: Mapping[int, Items]) -> Scored:
            items = baselines[one] if one in baselines else decoded_items(self.samples[one].array("x"), codec)[:count]
            of_halves = half_values(metric, scorer, items, reference, rows) if one in by_halves else []
            if scorer is None:
                return (metric.score(items, reference),), of_halves
            found = [*scorer.scores(items)]
            if isinstance(scorer, OriginScorer) and one not in baselines:
                origins = origins_of(self.samples[one], self.shards.parts, count)
                found += [] if origins is None else scorer.origin_scores(items, origins)
            if isinstance(scorer, ConditionScorer) and one not in baselines and self.labelled:
                classes = self.samples[one].conditions().get(CLASS)
                found += [] if classes is None else scorer.class_scores(items, classes[:count])
            return tuple(found), of_halves

        return measure

    def _apart(self, rng: np.random.Generator, codec: PlacedCodec | None) -> tuple[Items, Items]:
        """The real items that are scored like samples, and those that they and the samples are compared with."""
        real = real_items(self.options, self.shards.parts, codec)
        if real is None or len(real) < 2:
            found = 0 if real is None else len(real)
            raise DataError(f"{found} item in all: too few to compare samples with; take more data")
        count = len(self.samples[0].array("x"))
        if self.options.reference == "all":
            trained_on = decoded_items(JoinedShard(parts=self.shards.parts).items, codec)
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
