"""What every section of the report is made from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from attrs import frozen

from mixvel_core.analysis.calibration import BucketCalibration
from mixvel_core.analysis.diagnostics import Diagnostics
from mixvel_core.analysis.records import StudyResult, TheoryReport
from mixvel_core.cost.flops import ModelFlops
from mixvel_core.data.pictures import is_image
from mixvel_core.pipeline.evaluate import Scores, real_items
from mixvel_core.pipeline.sample import Models, StoredSamples
from mixvel_core.pipeline.shards import Shards, StoredShard
from mixvel_core.recipe.model import Recipe


@frozen(kw_only=True)
class Inputs:
    """The upstream artifacts, ``folder`` of the run, where trainings left their losses, and what was measured:
    ``calibration`` of the routers, ``diagnostics`` of the experts, ``study`` and ``theory``."""

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

    @property
    def methods(self) -> tuple[str, ...]:
        """The rows of every table, in the order of the recipe."""
        return tuple(self.recipe.sample.methods)

    @property
    def steps(self) -> tuple[int, ...]:
        """The columns of every table, in the order of the recipe."""
        return self.recipe.sample.steps

    @property
    def first_seed(self) -> int:
        """The seed whose samples are shown."""
        return self.recipe.sample.seeds[0]

    @property
    def are_images(self) -> bool:
        """Whether items can be looked at; otherwise they are points of a space."""
        return is_image(self.shards.shape)

    def shown(self, method: str, steps: int) -> StoredSamples:
        """The samples of one row and column, for the seed that is shown."""
        wanted = (method, steps, self.first_seed)
        return next(s for s in self.samples if (s.draw.method, s.draw.steps, s.draw.seed) == wanted)


def some_real(inputs: Inputs, count: int) -> np.ndarray | None:
    """``count`` real items at random to show (all, if there are fewer); None where all are with their owners."""
    if inputs.shards.are_local:
        return at_random(inputs.shards, count, inputs.recipe.seed)
    items = real_items(inputs.recipe.evaluate, inputs.shards.parts)
    if items is None:
        return None
    chosen = np.random.default_rng(inputs.recipe.seed).choice(len(items), min(count, len(items)), replace=False)
    return items[chosen]


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
