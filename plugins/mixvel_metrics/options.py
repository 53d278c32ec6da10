"""Options of the metrics. Free of NumPy, because recipes are checked with it."""

from __future__ import annotations

from typing import Literal, TypeAlias

from attrs import frozen

from mixvel_core.plugin.definition import DataUse
from mixvel_core.plugin.options import at_least, option

FeatureName: TypeAlias = Literal["pixels", "random-conv"]
Further: TypeAlias = Literal["kernel", "precision", "recall"]


@frozen(kw_only=True)
class Wasserstein2Options:
    """Options of the metric ``w2``."""

    max_count: int = option(
        default=2000, check=at_least(1), doc="items compared on each side, the first ones; memory grows as its square"
    )


@frozen(kw_only=True)
class SlicedWasserstein2Options:
    """Options of the metric ``sliced-w2``."""

    projections: int = option(default=256, check=at_least(1), doc="random directions")
    seed: int = option(default=0, check=at_least(0), doc="seed of the directions")


@frozen(kw_only=True)
class FrechetOptions:
    """Options of the metric ``frechet``."""

    features: FeatureName = option(
        default="pixels", doc="the feature space: the values themselves, or a fixed random network (images only)"
    )
    further: tuple[Further, ...] = option(
        default=(),
        doc="scores of the same features beside it: kernel distance, precision, recall; keeps the features in memory",
    )


@frozen(kw_only=True)
class ClassifierMetricOptions:
    """Options of the metric ``classifier``: what its network is trained and tested on, and for how long."""

    data: DataUse = option(
        doc="labelled images it is trained on, once: of the recipe's size, never those compared with"
    )
    test: DataUse | None = option(
        default=None, doc="labelled images its accuracy is measured on; absent: it is not measured"
    )
    further: tuple[Literal["kernel", "precision", "recall", "balance", "agreement"], ...] = option(
        default=("kernel", "precision", "recall", "balance", "agreement"),
        doc="scores beside the Frechet distance: kernel distance, precision, recall, class balance and class agreement",
    )
    epochs: int = option(default=4, check=at_least(1), doc="passes over the images while it is trained")
    seed: int = option(default=0, check=at_least(0), doc="seed of its weights and of the order of images")
    store: str | None = option(
        default=None,
        doc="folder of trained classifiers; absent: what MIXVEL_DATA says, else mixvel in the user's cache folder",
    )


@frozen(kw_only=True)
class FIDOptions:
    """Options of the metric ``fid``."""

    weights: str | None = option(
        default=None, doc="file of the Inception weights; absent: where torch-fidelity keeps them in torch's cache"
    )
    further: tuple[Further, ...] = option(
        default=("kernel", "precision", "recall"),
        doc="scores of the same features beside it (KID, precision, recall); keeps the features in memory",
    )
    statistics: str | None = option(
        default=None,
        doc="file that keeps the statistics of the real items: written where there is none, refused where it was "
        "made in other conditions",
    )
