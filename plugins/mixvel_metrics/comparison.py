"""Two sets of items compared in one feature space: Frechet distance, kernel distance, precision and recall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from attrs import frozen

from mixvel_core.data.items import Chosen
from mixvel_core.protocols import Score
from mixvel_core.protocols.data import Items
from mixvel_metrics.features import (
    BLOCK,
    FeatureSpace,
    PixelFeatures,
    check_sets,
    conditions,
    feature_space,
    features_of,
)
from mixvel_metrics.options import FrechetOptions, Further
from mixvel_metrics.statistics import (
    NEIGHBOURS,
    Gaussian,
    fit_blocks,
    kernel_distance,
    mean_kernel,
    precision_recall,
    radii,
    squared_frechet,
)


def names_in(space: str) -> dict[str, str]:
    """What the scores of a feature space other than Inception's are called, by what they are."""
    return {name: f"{name}-{space}" for name in ("frechet", "kernel", "precision", "recall")}


@frozen(kw_only=True, eq=False, slots=False)
class Comparison:
    """Scores of sets of samples against one reference, whose features are computed once.

    ``names``: of the scores, by kind. ``reference``: (m, *data). ``further``: what is scored besides the Frechet
    distance; it holds the features of both sets in memory, 4 bytes a value, where the Frechet distance itself holds a
    block at a time. ``fitted``: the Gaussian of the reference's features, where it is known already. ``numbered``:
    whether names end in the number of samples, as FID-5000 and FID-50000 are different quantities.
    """

    space: FeatureSpace
    names: Mapping[str, str]
    reference: Items
    further: tuple[Further, ...] = ()
    fitted: Gaussian | None = None
    numbered: bool = False

    def scores(self, samples: Items) -> Sequence[Score]:
        """The Frechet distance of ``samples`` (n, *data), then the others in ``further``. Raises as ``check_sets``."""
        least = NEIGHBOURS + 1 if {"precision", "recall"} & set(self.further) else 2
        check_sets(self.names["frechet"], samples, self.reference, least=least)
        features = features_of(self.space, samples) if self.further else None
        return self._scored(samples, fit(self.space, samples) if features is None else fit_features(features), features)

    def subset_scores(self, samples: Items, subsets: Sequence[np.ndarray]) -> Sequence[Sequence[Score]]:
        """The scores of some rows of ``samples`` (n, *data), for each of ``subsets``, by features computed once."""
        least = NEIGHBOURS + 1 if {"precision", "recall"} & set(self.further) else 2
        features = features_of(self.space, samples)
        found = []
        for rows in subsets:
            part = Chosen(source=samples, rows=rows)
            check_sets(self.names["frechet"], part, self.reference, least=least)
            found.append(self._scored(part, fit_features(features[rows]), features[rows]))
        return found

    def _scored(self, samples: Items, fitted: Gaussian, features: np.ndarray | None) -> Sequence[Score]:
        """The scores, from the Gaussian of the features of ``samples``, and from these where more is asked for."""
        found = [self._score(samples, "frechet", squared_frechet(fitted, self.gaussian), "squared distance")]
        if features is None or not self.further:
            return found
        if "kernel" in self.further:
            value = kernel_distance(features, self._features, self._mean_kernel)
            found.append(self._score(samples, "kernel", value, "squared MMD, unbiased, all pairs"))
        if {"precision", "recall"} & set(self.further):
            covered = precision_recall(features, self._features, self._radii)
            shares = dict(zip(("precision", "recall"), covered, strict=True))
            quantity = f"share covered, {NEIGHBOURS} neighbours"
            found += [self._score(samples, kind, shares[kind], quantity) for kind in self.further if kind in shares]
        return found

    @cached_property
    def gaussian(self) -> Gaussian:
        """The Gaussian of the reference's features."""
        if self.fitted is not None:
            return self.fitted
        return fit_features(self._features) if self.further else fit(self.space, self.reference)

    @cached_property
    def _features(self) -> np.ndarray:
        return features_of(self.space, self.reference)

    # The reference's own sums take most of the time where it is the larger set: once, not for each set of samples.
    @cached_property
    def _mean_kernel(self) -> float:
        return mean_kernel(self._features)

    @cached_property
    def _radii(self) -> torch.Tensor:
        return radii(torch.from_numpy(self._features))

    def _score(self, samples: Items, kind: str, value: float, quantity: str) -> Score:
        return Score(
            name=self.names[kind] + (f"-{len(samples)}" if self.numbered else ""),
            value=value,
            conditions={**conditions(samples, self.reference, self.space.description), "quantity": quantity},
            larger_is_better=kind in ("precision", "recall"),
        )


def fit(space: FeatureSpace, items: Items) -> Gaussian:
    """The Gaussian with the mean and covariance of the features of items (n, *data), n >= 2, a block at a time."""
    blocks = (space.of(items[start : start + BLOCK]) for start in range(0, len(items), BLOCK))
    return fit_blocks(blocks, space.dimension)


def fit_features(features: np.ndarray) -> Gaussian:
    """The same from features (n, D)."""
    return fit(PixelFeatures(dimension=features.shape[1]), features)


@frozen(kw_only=True)
class Frechet(FrechetOptions):
    """The squared Frechet distance in a named feature space, and the others that ``further`` names.

    It is not FID: that name belongs to the features of one trained network, at one resolution.
    """

    def score(self, samples: Items, reference: Items) -> Score:
        """||mu_1 - mu_2||^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2)), ``samples`` (n, *data), ``reference`` (m, *data).

        With few items it is biased upwards, so it is comparable at equal n and m only. Raises as ``check_sets``, with
        at least two items a set, and ``feature_space``.
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
