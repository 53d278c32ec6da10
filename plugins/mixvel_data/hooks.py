"""Definitions of the data sources and partitioners; nothing here imports NumPy, scikit-learn or torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixvel_core.plugin.definition import PluginDef
from mixvel_core.plugin.specs import hookimpl
from mixvel_core.protocols import DataSource, Partitioner
from mixvel_data.options import DigitsOptions, KMeansOptions, LabelsOptions, NumpyOptions

EXAMPLE = Path(__file__).with_name("example.npz")
"""Eight 4x4 pictures of two classes: what ``numpy`` shows itself with."""


def _digits(options: DigitsOptions) -> DataSource:
    from mixvel_data.digits import Digits

    return Digits(labels=options.labels)


def _numpy(options: NumpyOptions) -> DataSource:
    from mixvel_data.numpy_source import NumpySource

    return NumpySource(
        path=Path(options.path).expanduser(),
        items=options.items,
        labels=options.labels,
        layout=options.layout,
    )


def _labels(options: LabelsOptions) -> Partitioner:
    from mixvel_data.labels import LabelPartitioner

    return LabelPartitioner(groups=options.groups)


def _kmeans(options: KMeansOptions) -> Partitioner:
    from mixvel_data.kmeans import KMeansPartitioner

    return KMeansPartitioner(shards=options.shards, pca=options.pca, restarts=options.restarts)


@hookimpl
def mixvel_data() -> Sequence[PluginDef[Any, DataSource]]:
    """digits, numpy."""
    return (
        PluginDef(
            kind="data",
            name="digits",
            options=DigitsOptions,
            build=_digits,
            example=lambda: _digits(DigitsOptions()),
            summary="1797 handwritten digits of 8x8 pixels, shipped with scikit-learn",
        ),
        PluginDef(
            kind="data",
            name="numpy",
            options=NumpyOptions,
            build=_numpy,
            example=lambda: _numpy(NumpyOptions(path=str(EXAMPLE), labels="labels")),
            summary="images or vectors from .npy or .npz files",
        ),
    )


@hookimpl
def mixvel_partitioners() -> Sequence[PluginDef[Any, Partitioner]]:
    """labels, kmeans."""
    return (
        PluginDef(
            kind="partitioner",
            name="labels",
            options=LabelsOptions,
            build=_labels,
            example=lambda: _labels(LabelsOptions()),
            summary="a shard for each label, or for each group of labels",
        ),
        PluginDef(
            kind="partitioner",
            name="kmeans",
            options=KMeansOptions,
            build=_kmeans,
            example=lambda: _kmeans(KMeansOptions(shards=2)),
            summary="a shard for each cluster of the pixels, or of their principal components",
        ),
    )
