"""Definitions of the data sources and partitioners; nothing here imports NumPy, scikit-learn or torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixvel_core.plugin.definition import PluginDef, hookimpl
from mixvel_core.protocols import DataSource, Partitioner, Streaming
from mixvel_data.options import (
    AttributesOptions,
    DigitsOptions,
    KMeansOptions,
    LabelsOptions,
    NumpyOptions,
    ParquetOptions,
)

EXAMPLE = Path(__file__).with_name("example.npz")
"""Eight 4x4 pictures of two classes: what ``numpy`` shows itself with."""
PARQUET_EXAMPLE = Path(__file__).with_name("example.parquet")
"""The same pictures, as ``parquet`` reads them."""


def _digits(options: DigitsOptions) -> DataSource:
    from mixvel_data.numpy_source import Digits

    return Digits(labels=options.labels)


def _numpy(options: NumpyOptions) -> DataSource:
    from mixvel_data.numpy_source import NumpySource

    return NumpySource(
        path=Path(options.path).expanduser(),
        items=options.items,
        labels=options.labels,
        layout=options.layout,
    )


def _parquet(options: ParquetOptions) -> DataSource:
    from mixvel_data.parquet_source import ParquetSource

    kept = Streaming(store=options.store, window=options.window, row_group=options.row_group)
    return ParquetSource(
        path=options.path,
        column=options.column,
        label=options.label,
        attributes=options.attributes,
        shape=options.shape,
        kind=options.type,
        layout=options.layout,
        streaming=kept if options.streaming else None,
    )


def _labels(options: LabelsOptions) -> Partitioner:
    from mixvel_data.labels import LabelPartitioner

    return LabelPartitioner(groups=options.groups)


def _kmeans(options: KMeansOptions) -> Partitioner:
    from mixvel_data.kmeans import KMeansPartitioner

    return KMeansPartitioner(
        shards=options.shards,
        pca=options.pca,
        restarts=options.restarts,
        features=options.features,
        weights=options.weights.expanduser() if options.weights else None,
    )


def _attributes(options: AttributesOptions) -> Partitioner:
    from mixvel_data.attributes import AttributePartitioner

    return AttributePartitioner(attributes=options.attributes, smallest=options.smallest)


@hookimpl
def mixvel_data() -> Sequence[PluginDef[Any, DataSource]]:
    """digits, numpy, parquet."""
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
        PluginDef(
            kind="data",
            name="parquet",
            options=ParquetOptions,
            build=_parquet,
            example=lambda: _parquet(ParquetOptions(path=str(PARQUET_EXAMPLE), label="label", shape=(1, 4, 4))),
            summary="images or vectors from Parquet files on any file system, streamed if they are larger than a disk",
        ),
    )


@hookimpl
def mixvel_partitioners() -> Sequence[PluginDef[Any, Partitioner]]:
    """labels, attributes, kmeans."""
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
            name="attributes",
            options=AttributesOptions,
            build=_attributes,
            example=lambda: _attributes(AttributesOptions(attributes=("group",))),
            summary="a shard for each combination of attributes, rare ones merged into near ones",
        ),
        PluginDef(
            kind="partitioner",
            name="kmeans",
            options=KMeansOptions,
            build=_kmeans,
            example=lambda: _kmeans(KMeansOptions(shards=2)),
            summary="a shard for each cluster of pixels, principal components or a network's features",
        ),
    )
