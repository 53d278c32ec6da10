"""Definitions of the metrics; nothing here imports NumPy, POT or torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mixvel_core.plugin.definition import PluginDef, hookimpl
from mixvel_core.protocols import Metric
from mixvel_metrics.options import FIDOptions, FrechetOptions, SlicedWasserstein2Options, Wasserstein2Options


def _w2(options: Wasserstein2Options) -> Metric:
    from mixvel_metrics.wasserstein import Wasserstein2

    return Wasserstein2(max_count=options.max_count)


def _sliced_w2(options: SlicedWasserstein2Options) -> Metric:
    from mixvel_metrics.wasserstein import SlicedWasserstein2

    return SlicedWasserstein2(projections=options.projections, seed=options.seed)


def _frechet(options: FrechetOptions) -> Metric:
    from mixvel_metrics.comparison import Frechet

    return Frechet(features=options.features, further=options.further)


def _fid(options: FIDOptions) -> Metric:
    from mixvel_metrics.fid import FID
    from mixvel_metrics.inception import load_inception

    return FID(inception=load_inception(options.weights), further=options.further, statistics=options.statistics)


def _fid_example() -> Metric:
    from mixvel_metrics.fid import FID
    from mixvel_metrics.inception import stand_in

    return FID(inception=stand_in())


@hookimpl
def mixvel_metrics() -> Sequence[PluginDef[Any, Metric]]:
    """w2, sliced-w2, frechet, fid."""
    return (
        PluginDef(
            kind="metric",
            name="w2",
            options=Wasserstein2Options,
            build=_w2,
            example=lambda: _w2(Wasserstein2Options()),
            summary="exact Wasserstein-2 distance between the two sets of items",
        ),
        PluginDef(
            kind="metric",
            name="sliced-w2",
            options=SlicedWasserstein2Options,
            build=_sliced_w2,
            example=lambda: _sliced_w2(SlicedWasserstein2Options(projections=16)),
            summary="Wasserstein-2 distance of one-dimensional shadows, for many or large items",
        ),
        PluginDef(
            kind="metric",
            name="frechet",
            options=FrechetOptions,
            build=_frechet,
            example=lambda: _frechet(FrechetOptions()),
            summary="squared Frechet distance between Gaussians fitted to features; not FID, which is one network's",
        ),
        PluginDef(
            kind="metric",
            name="fid",
            options=FIDOptions,
            build=_fid,
            example=_fid_example,
            smoke={"use": "frechet", "features": "random-conv", "further": ["kernel", "precision", "recall"]},
            summary="FID-N of Inception features, with KID, precision and recall; needs the extra fid and its weights",
        ),
    )
