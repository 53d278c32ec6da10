"""Definitions of the data sources and partitioners; nothing here imports NumPy, scikit-learn or torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mixvel_core.plugin.definition import PluginDef, hookimpl
from mixvel_core.protocols import DataSource, Partitioner
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

SOURCES: Sequence[PluginDef[Any, DataSource]] = (
    PluginDef(
        kind="data",
        name="digits",
        options=DigitsOptions,
        target="mixvel_data.numpy_source:Digits",
        summary="1797 handwritten digits of 8x8 pixels, shipped with scikit-learn",
    ),
    PluginDef(
        kind="data",
        name="numpy",
        options=NumpyOptions,
        target="mixvel_data.numpy_source:NumpySource",
        example_options=NumpyOptions(path=str(EXAMPLE), labels="labels"),
        summary="images or vectors from .npy or .npz files",
    ),
    PluginDef(
        kind="data",
        name="parquet",
        options=ParquetOptions,
        target="mixvel_data.parquet_source:ParquetSource",
        example_options=ParquetOptions(path=str(PARQUET_EXAMPLE), label="label", shape=(1, 4, 4)),
        summary="images or vectors from Parquet files on any file system, streamed if they are larger than a disk",
    ),
)


@hookimpl
def mixvel_data() -> Sequence[PluginDef[Any, DataSource]]:
    """The data sources of this package."""
    return SOURCES


PARTITIONERS: Sequence[PluginDef[Any, Partitioner]] = (
    PluginDef(
        kind="partitioner",
        name="labels",
        options=LabelsOptions,
        target="mixvel_data.labels:LabelPartitioner",
        summary="a shard for each label, or for each group of labels",
    ),
    PluginDef(
        kind="partitioner",
        name="attributes",
        options=AttributesOptions,
        target="mixvel_data.attributes:AttributePartitioner",
        example_options=AttributesOptions(attributes=("group",)),
        summary="a shard for each combination of attributes, rare ones merged into near ones",
    ),
    PluginDef(
        kind="partitioner",
        name="kmeans",
        options=KMeansOptions,
        target="mixvel_data.kmeans:KMeansPartitioner",
        example_options=KMeansOptions(shards=2),
        summary="a shard for each cluster of pixels, principal components or a network's features",
    ),
)


@hookimpl
def mixvel_partitioners() -> Sequence[PluginDef[Any, Partitioner]]:
    """The partitioners of this package."""
    return PARTITIONERS
