"""Two sets of items compared in one feature space: Frechet distance, kernel distance, precision and recall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
from attrs import frozen

from mixvel_core.protocols import Score
from mixvel_core.protocols.data import Items
from mixvel_metrics.features import BLOCK, FeatureName, FeatureSpace, check_sets, conditions, feature_space, features_of
from mixvel_metrics.statistics import (
    NEIGHBOURS,
    Gaussian,
    RunningMoments,
    kernel_distance,
    precision_recall,
    squared_frechet,
)

Further: TypeAlias = Literal["kernel", "precision", "recall"]


NAMES = ("frechet", "kernel", "precision", "recall")


def names_in(space: str) -> dict[str, str]:
    """What the scores of a feature space other than Inception's are called, by what they are."""
    return {name: f"{name}-{space}" for name in NAMES}


@frozen(kw_only=True, eq=False, slots=False)
class Comparison:
    """Scores of sets of samples against one reference, whose features are computed once.

    ``names``: of the scores, by NAMES. ``reference``: (m, *data). ``further``: what is scored besides the Frechet
    distance; it holds the features of both sets in memory, 4 bytes a value, where the Frechet distance itself holds a
    block at a time. ``fitted``: the Gaussian of the reference's features, where it is known already.
    """

    space: FeatureSpace
    names: Mapping[str, str]
    reference: Items
    further: tuple[Further, ...] = ()
    fitted: Gaussian | None = None

    def scores(self, samples: Items) -> Sequence[Score]:
        """The Frechet distance of ``samples`` (n, *data), then the others in ``further``.

        Raises:
            SamplingError, DataError: see ``check_sets``.
        """
        least = NEIGHBOURS + 1 if {"precision", "recall"} & set(self.further) else 2
        check_sets(self.names["frechet"], samples, self.reference, least=least)
        if not self.further:
            return (self._frechet(samples, fit(self.space, samples)),)
        features = features_of(self.space, samples)
        return (self._frechet(samples, fit_features(features)), *self._further(samples, features))

    @cached_property
    def gaussian(self) -> Gaussian:
        """The Gaussian of the reference's features."""
        if self.fitted is not None:
            return self.fitted
        return fit_features(self._features) if self.further else fit(self.space, self.reference)

    @cached_property
    def _features(self) -> np.ndarray:
        return features_of(self.space, self.reference)

    def _frechet(self, samples: Items, fitted: Gaussian) -> Score:
        value = squared_frechet(fitted, self.gaussian)
        return self._score(samples, "frechet", value, quantity="squared distance")

    def _further(self, samples: Items, features: np.ndarray) -> Sequence[Score]:
        found = []
        if "kernel" in self.further:
            value = kernel_distance(features, self._features)
            found.append(self._score(samples, "kernel", value, quantity="squared MMD, unbiased, all pairs"))
        if {"precision", "recall"} & set(self.further):
            shares = dict(zip(("precision", "recall"), precision_recall(features, self._features), strict=True))
            quantity = f"share covered, {NEIGHBOURS} neighbours"
            for kind in self.further:
                if kind in shares:
                    found.append(self._score(samples, kind, shares[kind], quantity=quantity))
        return found

    def _score(self, samples: Items, kind: str, value: float, *, quantity: str) -> Score:
        stated = {**conditions(samples, self.reference, self.space.description), "quantity": quantity}
        larger_is_better = kind in ("precision", "recall")
        return Score(name=self.names[kind], value=value, conditions=stated, larger_is_better=larger_is_better)


def fit(space: FeatureSpace, items: Items) -> Gaussian:
    """The Gaussian with the mean and covariance of the features of items (n, *data), n >= 2, a block at a time."""
    moments = RunningMoments(dimension=space.dimension)
    for start in range(0, len(items), BLOCK):
        moments.update(space.of(items[start : start + BLOCK]))
    return moments.finish()


def fit_features(features: np.ndarray) -> Gaussian:
    """The same from features (n, D)."""
    moments = RunningMoments(dimension=features.shape[1])
    for start in range(0, len(features), BLOCK):
        moments.update(features[start : start + BLOCK])
    return moments.finish()


@frozen(kw_only=True)
class Frechet:
    """The squared Frechet distance in a named feature space, and the others that ``further`` names.

    It is not FID: that name belongs to the features of one trained network, at one resolution.
    """

    features: FeatureName = "pixels"
    further: tuple[Further, ...] = ()

    def score(self, samples: Items, reference: Items) -> Score:
        """||mu_1 - mu_2||^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2)), ``samples`` (n, *data), ``reference`` (m, *data).

        With few items it is biased upwards, so it is comparable at equal n and m only.

        Raises:
            SamplingError, DataError: see ``check_sets`` and ``feature_space``; two items a set are the least.
        """
        return self.against(reference).scores(samples)[0]

    def against(self, reference: Items) -> Comparison:
        """All scores, with the features of ``reference`` (m, *data) computed once."""
        return Comparison(
            space=feature_space(self.features, reference.shape[1:]),
            names=names_in(self.features),
            reference=reference,
            further=self.further,
        )
