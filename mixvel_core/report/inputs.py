"""What every section of the report is made from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from attrs import frozen

from mixvel_core.analysis.calibration import BucketCalibration
from mixvel_core.analysis.diagnostics import Diagnostics
from mixvel_core.analysis.records import StudyResult, TheoryReport
from mixvel_core.cost.flops import ModelFlops, SampleCost
from mixvel_core.data.latents import PlacedCodec
from mixvel_core.data.pictures import is_image
from mixvel_core.field.scale import to_float
from mixvel_core.pipeline.evaluate import real_items
from mixvel_core.pipeline.loaded import Models
from mixvel_core.pipeline.sample import StoredSamples
from mixvel_core.pipeline.scores import Scores
from mixvel_core.pipeline.shards import Shards, StoredShard
from mixvel_core.recipe.model import Recipe
from mixvel_core.report.figures import brief, method_text


@frozen(kw_only=True)
class Inputs:
    """The upstream artifacts, ``folder`` of the run, where trainings left their losses, and what was measured:
    ``calibration`` of the routers, ``diagnostics`` of the experts, ``study`` and ``theory``. ``rows``: names of the
    rows of samples, of all that was asked; empty: those of the recipe. ``codec``: of samples and shards, if there is
    one."""

    recipe: Recipe
    shards: Shards
    models: Models
    samples: tuple[StoredSamples, ...]
    flops: ModelFlops
    scores: Scores
    folder: Path
    calibration: tuple[BucketCalibration, ...] = ()
    diagnostics: Diagnostics | None = None
    study: StudyResult | None = None
    theory: TheoryReport | None = None
    rows: tuple[str, ...] = ()
    codec: PlacedCodec | None = None

    def decoded(self, x: np.ndarray) -> np.ndarray:
        """Items to look at, (n, *data) float32, of samples or of items as they are stored, (n, *data or *latent)."""
        return to_float(x) if self.codec is None else self.codec.decoded(x)[:]

    @property
    def methods(self) -> tuple[str, ...]:
        """The rows of every table: the methods, in the order in which they were asked for."""
        return self.rows or tuple(self.recipe.sample.methods)

    @property
    def steps(self) -> tuple[int, ...]:
        """The columns of every table: in the order of the recipe, unless earlier questions have others."""
        asked, every = self.recipe.sample.steps, {one.draw.steps for one in self.samples}
        return asked if every <= set(asked) else tuple(sorted(every | set(asked)))

    @property
    def first_seed(self) -> int:
        """The seed whose samples are shown."""
        return self.recipe.sample.seeds[0]

    @property
    def are_images(self) -> bool:
        """Whether items can be looked at; otherwise they are points of a space."""
        return is_image(self.shards.data_shape)

    def shown(self, method: str, steps: int) -> StoredSamples | None:
        """The samples of one row and column, for the seed that is shown, or the first that there is; None where it was
        never asked for."""
        found = [one for one in self.samples if (one.row, one.draw.steps) == (method, steps)]
        return min(found, key=lambda one: (one.draw.seed != self.first_seed, one.draw.seed), default=None)

    def most_steps(self, method: str) -> StoredSamples:
        """The samples of one row at its largest step count."""
        found = [shown for steps in self.steps if (shown := self.shown(method, steps)) is not None]
        return max(found, key=lambda one: one.draw.steps)

    def cost(self, one: StoredSamples) -> SampleCost:
        """What a sample of them cost."""
        place = one.row, one.draw.steps, one.draw.seed
        for row in self.scores.rows:
            if (row["method"], row["steps"], row["seed"]) == place:
                return SampleCost(evaluations=row["evaluations"], flops=row["flops"])
        return self.flops.of_samples(one)

    def settings(self, one: StoredSamples) -> str:
        """In words, how samples are made; with their number and where they stop, if rows differ in these."""
        many = len({(other.count, other.delta) for other in self.samples}) > 1
        own = f" · {one.count:,} samples to t = {one.delta:g}" if many else ""
        use = one.draw.guidance
        guided = "" if use is None or not use.definition.leads else f" · {brief(use)}"
        return method_text(one.draw) + guided + own


def some_real(inputs: Inputs, count: int) -> np.ndarray | None:
    """``count`` real items at random to show, or all if fewer, float32; None where all are with their owners."""
    if inputs.shards.are_local:
        return inputs.decoded(at_random(inputs.shards, count, inputs.recipe.seed))
    items = real_items(inputs.recipe.evaluate, inputs.shards.parts, inputs.codec)
    if items is None:
        return None
    chosen = np.random.default_rng(inputs.recipe.seed).choice(len(items), min(count, len(items)), replace=False)
    return to_float(items[chosen])


def evenly_spaced(shard: StoredShard, count: int) -> np.ndarray:
    """``count`` items of a shard (all, if there are fewer) at even distances from first to last."""
    chosen = np.linspace(0, shard.count - 1, min(count, shard.count)).round().astype(np.int64)
    return np.asarray(shard.items[chosen])


def at_random(shards: Shards, count: int, seed: int) -> np.ndarray:
    """``count`` items of the data set (all, if there are fewer) at random, without reading the others."""
    ends = np.cumsum([part.count for part in shards.parts])
    chosen = np.random.default_rng(seed).choice(ends[-1], min(count, int(ends[-1])), replace=False)
    home = np.searchsorted(ends, chosen, side="right")
    items = np.empty((len(chosen), *shards.shape), dtype=shards.parts[0].items.dtype)
    for k, part in enumerate(shards.parts):
        mine = home == k
        items[mine] = part.items[chosen[mine] - (ends[k] - part.count)]
    return items
