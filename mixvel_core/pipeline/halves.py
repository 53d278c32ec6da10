"""Random halves of a set of samples, scored like all of them: how sure a score is where there is a single seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from mixvel_core.data.items import Chosen
from mixvel_core.pipeline.sample import StoredSamples
from mixvel_core.protocols import Items, Metric, Scorer, SubsetScorer

LEAST = 16
"""Samples from which on their halves are scored: some scores take several neighbours."""


def single_seeds(samples: Sequence[StoredSamples]) -> frozenset[int]:
    """The places of the sets that are the only ones of their method and step count: no other seed is beside them."""
    places = [(one.row, one.draw.steps) for one in samples]
    seeds = Counter(places)
    return frozenset(i for i, place in enumerate(places) if seeds[place] == 1)


def half_rows(count: int, halves: int, seed: int) -> list[np.ndarray]:
    """``halves`` random halves of 0..count-1, (count // 2,) int64 each; the same for all sets of ``count`` samples, so
    that scores of one half can be compared like those of one seed. Empty below LEAST."""
    rng = np.random.default_rng([seed, count])
    return [np.sort(rng.permutation(count)[: count // 2]) for _ in range(halves)] if count >= LEAST else []


def half_values(
    metric: Metric, scorer: Scorer | None, samples: Items, reference: Items, rows: Sequence[np.ndarray]
) -> list[list[float]]:
    """For each score of ``metric``, in their order, its value of each half.

    Args:
        metric: what scores where there is no ``scorer``.
        scorer: the metric that has read the reference, if it is one that does.
        samples: (n, *data).
        reference: (m, *data).
        rows: of the halves; without any there are no scores either.
    """
    if isinstance(scorer, SubsetScorer):
        found = scorer.subset_scores(samples, rows)
    else:
        parts = [Chosen(source=samples, rows=half) for half in rows]
        found = [scorer.scores(one) if scorer is not None else (metric.score(one, reference),) for one in parts]
    return [[score.value for score in scores] for scores in zip(*found, strict=True)]
