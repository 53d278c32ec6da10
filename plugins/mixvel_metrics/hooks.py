"""Definitions of the metrics; nothing here imports NumPy, POT or torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mixvel_core.plugin.definition import PluginDef, hookimpl
from mixvel_core.protocols import Metric
from mixvel_metrics.options import (
    ClassifierMetricOptions,
    FIDOptions,
    FrechetOptions,
    SlicedWasserstein2Options,
    Wasserstein2Options,
)


def _fid_example() -> Metric:
    from mixvel_metrics.fid import FID
    from mixvel_metrics.inception import stand_in

    return FID(inception=stand_in())


def _classifier_example() -> Metric:
    from mixvel_metrics.classifier_example import example

    return example()


METRICS: Sequence[PluginDef[Any, Metric]] = (
    PluginDef(
        kind="metric",
        name="w2",
        options=Wasserstein2Options,
        target="mixvel_metrics.wasserstein:Wasserstein2",
        summary="exact Wasserstein-2 distance between the two sets of items",
    ),
    PluginDef(
        kind="metric",
        name="sliced-w2",
        options=SlicedWasserstein2Options,
        target="mixvel_metrics.wasserstein:SlicedWasserstein2",
        example_options=SlicedWasserstein2Options(projections=16),
        summary="Wasserstein-2 distance of one-dimensional shadows, for many or large items",
    ),
    PluginDef(
        kind="metric",
        name="frechet",
        options=FrechetOptions,
        target="mixvel_metrics.comparison:Frechet",
        summary="squared Frechet distance between Gaussians fitted to features; not FID, which is one network's",
    ),
    PluginDef(
        kind="metric",
        name="classifier",
        options=ClassifierMetricOptions,
        target="mixvel_metrics.classifier:make_classifier_metric",
        example=_classifier_example,
        smoke={"epochs": 1},
        summary="the same in features of a classifier trained on the data, with class balance and agreement",
    ),
    PluginDef(
        kind="metric",
        name="fid",
        options=FIDOptions,
        target="mixvel_metrics.fid:make_fid",
        example=_fid_example,
        smoke={"use": "frechet", "features": "random-conv", "further": ["kernel", "precision", "recall"]},
        summary="FID-N of Inception features, with KID, precision and recall; needs the extra fid and its weights",
    ),
)


@hookimpl
def mixvel_metrics() -> Sequence[PluginDef[Any, Metric]]:
    """The metrics of this package."""
    return METRICS
