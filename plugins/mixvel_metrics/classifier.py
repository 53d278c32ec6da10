"""classifier: images compared in the features of a small classifier that was trained on the data set itself.

Inception was trained on colour photographs of 299x299 pixels. Grey images of 28x28 are nothing to it; to a classifier
of their own classes they are. The scores are never called FID, and their names carry the hash of the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
import torch
from attrs import field, frozen

from mixvel_core.data.items import Chosen
from mixvel_core.device import best_device
from mixvel_core.errors import DataError
from mixvel_core.field.scale import to_uint8
from mixvel_core.machine import data_home
from mixvel_core.plugin.definition import DataUse
from mixvel_core.protocols import Items, Origins, Progress, Score
from mixvel_core.protocols.progress import Silent
from mixvel_metrics.classifier_network import FEATURES, SMALLEST, Training, repeatable
from mixvel_metrics.classifier_store import Trained, check_test, classes_of, labels_of, stored
from mixvel_metrics.comparison import Comparison, names_in
from mixvel_metrics.features import check_sets, conditions
from mixvel_metrics.options import Further

ClassScore: TypeAlias = Literal["kernel", "precision", "recall", "balance", "agreement"]


@frozen(kw_only=True, eq=False)
class ClassifierFeatures:
    """The 64 values before the last layer, of 8-bit images, and the classes. ``data_name``: what it was trained on."""

    trained: Trained
    data_name: str
    device: torch.device
    dimension: int = FEATURES

    @property
    def name(self) -> str:
        """Its name, with the first eight digits of the weights' hash."""
        return f"{self.data_name}-classifier-{self.trained.digest[:8]}"

    @property
    def description(self) -> str:
        """The network, the hash of its weights, and its accuracy where it was measured."""
        accuracy = self.trained.accuracy
        right = "" if accuracy is None else f", {100 * accuracy:.2f} % of test images right"
        weights = f"{self.dimension} values, weights {self.trained.digest}"
        return f"classifier of {self.data_name}, {weights}{right}, 8-bit images"

    def of(self, items: np.ndarray) -> np.ndarray:
        """The features of images (n, C, H, W) in [-1, 1], (n, 64) float64."""
        with torch.no_grad(), repeatable():
            x = torch.from_numpy(_as_stored(items)).to(self.device)
            return np.asarray(self.trained.network.features(x).double().cpu().numpy())

    def labels(self, items: Items) -> np.ndarray:
        """The likeliest label of each image, (n,) int64."""
        found = [
            classes_of(self.trained, _as_stored(items[a : a + 1024]), self.device) for a in range(0, len(items), 1024)
        ]
        return np.concatenate(found)


def _as_stored(items: np.ndarray) -> np.ndarray:
    """Items as a file of bytes would hold them, in [-1, 1]: so are the images that the network has learned from."""
    return to_uint8(items).astype(np.float32) / np.float32(127.5) - np.float32(1.0)


@frozen(kw_only=True, eq=False, slots=False)
class Classifier:
    """Scores in the features and classes of a classifier of ``data``, which is trained where it was not yet.

    ``test``: what its accuracy is measured on. ``further``: what is scored besides the Frechet distance.
    ``store``: the folder of trained classifiers.
    """

    data: DataUse
    test: DataUse | None = None
    further: tuple[ClassScore, ...] = ("kernel", "precision", "recall", "balance", "agreement")
    training: Training = field(factory=Training)
    store: str | None = None

    def check(self, items: Items) -> None:
        """Raises DataError where ``items`` are others than the images it is trained on, or those are not fit for it.

        The test data are looked at too: they would fail, or give an accuracy on other images, after all training.
        """
        data = self.data.build().load()
        labels_of(data, self.data.name)
        shape = tuple(int(n) for n in data.items.shape[1:])
        if len(shape) != 3 or min(shape[1:]) < SMALLEST:
            raise DataError(
                f"metric classifier: made for images of {SMALLEST}x{SMALLEST} pixels or more, not for {shape}"
            )
        if tuple(items.shape[1:]) != shape:
            raise DataError(
                f"metric classifier: items of {self.data.name} have shape {shape}, samples {tuple(items.shape[1:])}; "
                "give `data` of the metric the size of the recipe's"
            )
        if self.test is not None:
            check_test(data, self.test.build().load(), self.data.name)

    def prepare(self, progress: Progress) -> None:
        """Trains the classifier, if it was not yet. Raises DataError as ``against`` does."""
        self._features(progress)

    def score(self, samples: Items, reference: Items) -> Score:
        """The squared Frechet distance of the features of ``samples`` from those of ``reference``.

        Raises:
            DataError: items of another shape than the classifier's, too few of them, or data that are absent.
            SamplingError: samples that are not finite.
        """
        return self.against(reference).scores(samples)[0]

    def against(self, reference: Items) -> ClassifierScores:
        """All scores against ``reference`` (m, C, H, W), whose features are computed once."""
        self.check(reference)
        space = self.features
        kinds: dict[str, Further] = {"kernel": "kernel", "precision": "precision", "recall": "recall"}
        comparison = Comparison(
            space=space,
            names=names_in(space.name),
            reference=reference,
            further=tuple(kinds[kind] for kind in self.further if kind in kinds),
        )
        return ClassifierScores(space=space, comparison=comparison, further=self.further)

    @cached_property
    def features(self) -> ClassifierFeatures:
        """The feature space, trained where it was not yet."""
        return self._features(Silent())

    def _features(self, progress: Progress) -> ClassifierFeatures:
        device = best_device()
        trained = stored(
            self.data.name,
            self.data.build().load(),
            None if self.test is None else self.test.build().load(),
            self.training,
            data_home(self.store),
            device,
            progress,
        )
        return ClassifierFeatures(trained=trained, data_name=self.data.name, device=device)


def make_classifier_metric(
    *,
    data: DataUse,
    test: DataUse | None,
    further: tuple[ClassScore, ...],
    epochs: int,
    seed: int,
    store: str | None,
) -> Classifier:
    """The metric of ``ClassifierMetricOptions``."""
    training = Training(epochs=epochs, seed=seed)
    return Classifier(data=data, test=test, further=further, training=training, store=store)


@frozen(kw_only=True, eq=False, slots=False)
class ClassifierScores:
    """What scores samples against one reference, by features and by classes."""

    space: ClassifierFeatures
    comparison: Comparison
    further: tuple[ClassScore, ...]

    def scores(self, samples: Items) -> Sequence[Score]:
        """Frechet distance, what else of the features is asked for, and the class balance.

        Class balance is half the sum over classes of |share of the samples - share of the reference|, both as the
        classifier sees them: 0 where all shares are the same, 1 where no class occurs in both.
        """
        found = self.comparison.scores(samples)
        return (*found, self._balance(self.space.labels(samples), samples)) if "balance" in self.further else found

    def subset_scores(self, samples: Items, subsets: Sequence[np.ndarray]) -> Sequence[Sequence[Score]]:
        """The same of some rows of ``samples``, for each of ``subsets``; features and labels are computed once."""
        found = self.comparison.subset_scores(samples, subsets)
        if "balance" not in self.further:
            return found
        labels = self.space.labels(samples)
        return [
            (*scores, self._balance(labels[rows], Chosen(source=samples, rows=rows)))
            for scores, rows in zip(found, subsets, strict=True)
        ]

    def _balance(self, labels: np.ndarray, samples: Items) -> Score:
        value = 0.5 * float(np.abs(self._shares(labels) - self._reference_shares).sum())
        quantity = "half the sum of absolute differences of class shares"
        return self._score("balance", value, samples, quantity=quantity)

    def origin_scores(self, samples: Items, origins: Origins) -> Sequence[Score]:
        """Class agreement: the share of samples whose class is one of those their expert was trained on."""
        if "agreement" not in self.further:
            return ()
        check_sets("classifier", samples, self.comparison.reference)
        seen = self.space.labels(samples)
        right = [int(label) in origins.labels[int(k)] for label, k in zip(seen, origins.experts, strict=True)]
        quantity = "share of samples whose class is of their expert's shard"
        score = self._score("agreement", float(np.mean(right)), samples, quantity=quantity, larger_is_better=True)
        return (score,)

    def class_scores(self, samples: Items, labels: np.ndarray) -> Sequence[Score]:
        """Class agreement under conditions: the share of samples that the classifier takes for the class that they were
        sampled under. ``labels``: (n,), as in the data that it is trained on."""
        if "agreement" not in self.further or len(labels) == 0:
            return ()
        check_sets("classifier", samples, self.comparison.reference)
        value = float(np.mean(self.space.labels(samples) == labels))
        quantity = "share of samples of the class that they were sampled under"
        return (self._score("class-agreement", value, samples, quantity=quantity, larger_is_better=True),)

    @cached_property
    def _reference_shares(self) -> np.ndarray:
        return self._shares(self.space.labels(self.comparison.reference))

    def _shares(self, labels: np.ndarray) -> np.ndarray:
        """The share of each class, (C,)."""
        places = np.searchsorted(np.array(self.space.trained.labels), labels)
        return np.bincount(places, minlength=len(self.space.trained.labels)) / len(labels)

    def _score(
        self, kind: str, value: float, samples: Items, *, quantity: str, larger_is_better: bool = False
    ) -> Score:
        stated = {**conditions(samples, self.comparison.reference, self.space.description), "quantity": quantity}
        return Score(
            name=f"{kind}-{self.space.name}", value=value, conditions=stated, larger_is_better=larger_is_better
        )
