"""Checks of what the protocol requires of a Metric."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mixvel_core.errors import ConformanceError, MixvelError
from mixvel_core.field.scale import to_float
from mixvel_core.protocols import Items, Metric, ReferenceMetric, Score
from mixvel_core.testing.check import is_text, require
from mixvel_core.testing.problems import Rows, SmallProblem, images, usable, vectors


def scores(metric: Metric) -> None:
    """A score has a name and a finite value."""
    fix = "return a finite Python float; roots of rounded zeros and logarithms of zero are the usual reason"
    for samples, reference in _sets(metric):
        for score in _scores(metric, samples, reference):
            require(isinstance(score.name, str) and score.name != "", "a score has no name", "name what is measured")
            sound = isinstance(score.value, float) and math.isfinite(score.value)
            require(sound, f"{score.name} of two ordinary sets is {score.value!r}", fix)


def best(metric: Metric) -> None:
    """No samples score better than the reference itself, and what is far off scores worse."""
    for samples, reference in _sets(metric):
        far = (-np.sign(reference) * 0.9).astype(np.float32)
        ideal = _scores(metric, reference, reference)
        for name, others in (("other samples", samples), ("samples turned inside out", far)):
            for top, found in zip(ideal, _scores(metric, others, reference), strict=True):
                better = found.value > top.value if top.larger_is_better else found.value < top.value
                require(
                    not better,
                    f"{name} score {found.value:.6g} in {found.name}, the reference itself only {top.value:.6g}",
                    "a distance is least between equal sets; say larger_is_better=True of a score that rises",
                )
        worst = _scores(metric, far, reference)
        require(
            any(found.value != top.value for top, found in zip(ideal, worst, strict=True)),
            f"samples turned inside out score the same as the reference itself: {worst[0].value:.6g}",
            "let the score depend on the samples",
        )


def conditions(metric: Metric) -> None:
    """Conditions say in text what a score can be compared under, the numbers of items among it."""
    for samples, reference in _sets(metric):
        fix = "conditions={'samples': str(n), 'reference': str(m), 'features': ...}: names and texts"
        half = len(samples) // 2
        fewer = _scores(metric, samples[:half], reference)
        for score, other in zip(_scores(metric, samples, reference), fewer, strict=True):
            require(is_text(score.conditions), f"the conditions of {score.name} are {score.conditions!r}", fix)
            require(
                score.conditions != other.conditions,
                f"{score.name} states the same conditions for {len(samples)} samples and for {half}",
                "state the number of samples: scores at other numbers are not comparable",
            )


def repeatable(metric: Metric) -> None:
    """The same sets get the same score."""
    for samples, reference in _sets(metric):
        for one, other in zip(_scores(metric, samples, reference), _scores(metric, samples, reference), strict=True):
            fix = "draw projections and subsets from a fixed seed that the conditions state"
            require(one == other, f"{one.name} is {one.value!r} and then {other.value!r} for the same sets", fix)


def not_finite(metric: Metric) -> None:
    """Samples with NaN or infinity are refused by an error of mixvel_core.errors, not scored."""
    for samples, reference in _sets(metric):
        for bad in (np.nan, np.inf):
            spoilt = samples.copy()
            spoilt[1].flat[0] = bad
            try:
                found = _scores(metric, spoilt, reference)
            except MixvelError:
                continue
            raise ConformanceError(
                f"samples holding {bad} get {found[0].name} = {found[0].value}",
                "raise SamplingError naming the metric: `if not np.isfinite(samples).all(): ...`",
            )


def reading(metric: Metric) -> None:
    """Sets that can only be read a block at a time get the score of arrays."""
    for samples, reference in _sets(metric):
        arrays = _scores(metric, samples, reference)
        try:
            read = _scores(metric, Rows(array=samples), Rows(array=reference))
        except (AttributeError, TypeError) as error:
            raise ConformanceError(
                f"items that are no arrays are not read: {error}",
                "sets may be larger than memory: use their shape, dtype, len, and items[rows]; items[:] is an array",
            ) from None
        for one, other in zip(arrays, read, strict=True):
            require(
                one == other,
                f"{one.name} is {one.value!r} for arrays and {other.value!r} for the same items read from elsewhere",
                "read the rows you need with items[rows], and compute from those alone",
            )


def arguments(metric: Metric) -> None:
    """Samples and reference are left alone."""
    for samples, reference in _sets(metric):
        before = samples.copy(), reference.copy()
        _scores(metric, samples, reference)
        same = bool((before[0] == samples).all() and (before[1] == reference).all())
        require(same, "samples or reference were edited in place", "copy what you want to change")


def _scores(metric: Metric, samples: Items, reference: Items) -> Sequence[Score]:
    if isinstance(metric, ReferenceMetric):
        return metric.against(reference).scores(samples)
    return [metric.score(samples, reference)]


def _sets(metric: Metric) -> list[tuple[np.ndarray, np.ndarray]]:
    """Samples and reference of one law, for every kind of item that the metric can read."""

    def pair(problem: SmallProblem) -> tuple[np.ndarray, np.ndarray]:
        items = np.concatenate([to_float(shard.items[:]) for shard in problem.shards])
        reference, samples = items[0::2], (items[1::2] * 0.9).astype(np.float32)
        _scores(metric, samples.copy(), reference.copy())
        return samples, reference

    return usable(
        (vectors(), images()),
        pair,
        "reads none of the kit's items",
        "let example() compare twenty vectors, grey images of 8x8 pixels, or colour images of 32x32",
        otherwise=images(3, 32),  # for metrics of one size only: features of thousands of dimensions take minutes
    )


CHECKS = (scores, best, conditions, repeatable, not_finite, reading, arguments)
