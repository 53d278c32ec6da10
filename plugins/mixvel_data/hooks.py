"""Definitions and options of the data sources and partitioners; nothing here imports NumPy, scikit-learn or torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from attrs import frozen

from mixvel_core.data.conventions import (
    BITS_DOC,
    CHANNELS_DOC,
    LAYOUT_DOC,
    RANGE_CHECK,
    RANGE_DOC,
    Channels,
    Layout,
    Range,
)
from mixvel_core.plugin.definition import PluginDef, hookimpl
from mixvel_core.plugin.options import OptionCheck, at_least, between, each, option
from mixvel_core.protocols import DataSource, Partitioner

PAD = "side of the square that images are brought to by a black border, so that a network can halve it; absent: none"

LABEL_NAMES = "names of labels 0, 1, ...; absent: as the file has them"


GROUPS = OptionCheck(
    text="a list of lists of labels, none of them empty and no label twice",
    holds=lambda v: len(v) > 0 and all(v) and len(set(chain(*v))) == sum(map(len, v)),
)


@frozen(kw_only=True)
class DigitsOptions:
    """Options of the data source ``digits``."""

    labels: tuple[int, ...] | None = option(
        default=None, check=each(between(0, 9)), doc="only these digits, as one owner of data may hold; absent: all"
    )
    label_names: tuple[str, ...] = option(
        default=(), before=(), doc="names of labels 0, 1, ...; absent: none, and their number is that of the largest"
    )
    pad: int | None = option(default=None, check=at_least(1), doc=PAD)


@frozen(kw_only=True)
class NumpyOptions:
    """Options of the data source ``numpy``."""

    path: str = option(doc="an .npy file, an .npz file, or a folder with one .npy file for each class")
    items: str = option(default="items", doc="the array of an .npz file that holds the items")
    labels: str | None = option(
        default=None,
        doc="the array of an .npz file that holds the labels, or none; absent: the only one that could be, if there is",
    )
    range: Range | None = option(default=None, before=None, check=RANGE_CHECK, doc=RANGE_DOC)
    layout: Layout = option(default="channels-first", doc=LAYOUT_DOC)
    label_names: tuple[str, ...] = option(default=(), before=(), doc=LABEL_NAMES)
    pad: int | None = option(default=None, check=at_least(1), doc=PAD)


@frozen(kw_only=True)
class ParquetOptions:
    """Options of the data source ``parquet``."""

    path: str = option(doc="a Parquet file, a folder of them, or a glob: a path or a URI such as s3://bucket/folder")
    column: str = option(
        default="image",
        doc="the column of items: PNG or JPEG files (bytes, or Hugging Face's struct of them), raw bytes, or lists",
    )
    label: str | None = option(default=None, doc="the column of labels, whole numbers or text; absent: none")
    attributes: tuple[str, ...] = option(default=(), doc="further columns that partitioners may ask for")
    shape: tuple[int, ...] | None = option(
        default=None, check=each(at_least(1)), doc="shape of an item in a column of raw bytes or flat lists"
    )
    type: Literal["uint8", "float32"] = option(default="uint8", doc="type of the numbers in a column of raw bytes")
    range: Range | None = option(default=None, before=None, check=RANGE_CHECK, doc=RANGE_DOC)
    layout: Layout = option(default="channels-first", doc=LAYOUT_DOC)
    channels: Channels = option(default="as-is", before="as-is", doc=CHANNELS_DOC)
    bits: int | None = option(default=None, before=None, check=between(9, 16), doc=BITS_DOC)
    label_names: tuple[str, ...] = option(default=(), before=(), doc=LABEL_NAMES)
    streaming: bool = option(
        default=False, doc="keep shards as Parquet and train on them as a stream; for data larger than a disk"
    )
    store: str | None = option(
        default=None, doc="with streaming, the folder or URI below which shards are kept; absent: the run folder"
    )
    window: int = option(
        default=8, check=at_least(1), doc="with streaming, row groups that are shuffled together; they fit in memory"
    )
    row_group: int | None = option(
        default=None, check=at_least(1), doc="with streaming, items in a row group of a shard; absent: about 4 MiB"
    )
    pad: int | None = option(default=None, check=at_least(1), doc=PAD)

    def __attrs_post_init__(self) -> None:
        """Raises ValueError for a store that nothing would be kept in."""
        if self.store is not None and not self.streaming:
            raise ValueError("store: is for streaming; add `streaming: true` or leave it out")


_LABELS = OptionCheck(
    text="a list of labels from 0 to 255, not empty and none twice",
    holds=lambda v: len(v) > 0 and len(set(v)) == len(v) and all(0 <= label < 256 for label in v),
)


@frozen(kw_only=True)
class GreyOptions:
    """Options of every source of IDX files."""

    split: Literal["train", "test"] = option(default="train", doc="which of the two published splits")
    classes: tuple[int, ...] | None = option(default=None, check=_LABELS, doc="only items of these labels; absent: all")
    size: int | None = option(
        default=None,
        check=at_least(1),
        doc="side of the images, a divisor of theirs: means over squares; absent: theirs",
    )
    pad: int | None = option(default=None, check=at_least(1), doc=PAD)


@frozen(kw_only=True)
class IdxOptions(GreyOptions):
    """Options of the data source ``idx``: which of the files in a folder, and how their images are changed."""

    path: str = option(doc="a folder of IDX files, packed by gzip or not, named as they are published")
    prefix: str | None = option(
        default=None, doc="what the files' names begin with, as in emnist-letters; absent: the one data set there is"
    )
    range: Range | None = option(default=None, before=None, check=RANGE_CHECK, doc=RANGE_DOC)
    transposed: bool = option(default=False, doc="exchange rows and columns: EMNIST's images lie on their side")
    label_names: tuple[str, ...] = option(default=(), before=(), doc=LABEL_NAMES)

    def __attrs_post_init__(self) -> None:
        """Raises ValueError for means of numbers that are no grey levels."""
        if self.size is not None and isinstance(self.range, tuple):
            raise ValueError("size: takes means of bytes from 0 to 255, and `range` states others; leave out one")


@frozen(kw_only=True)
class FashionOptions(GreyOptions):
    """Options of the data source ``fashion-mnist``: where it lies, and how its images are changed."""

    path: str | None = option(
        default=None,
        doc="the folder of its four files; absent: data/fashion-mnist, else /usr/share/datasets/fashion-mnist",
    )


@frozen(kw_only=True)
class LabelsOptions:
    """Options of the partitioner ``labels``."""

    groups: tuple[tuple[int | str, ...], ...] | None = option(
        default=None,
        check=GROUPS,
        doc="labels, or names of classes, that share a shard, a list for each shard; absent: a shard for each label",
    )


NAMES = OptionCheck(
    text="a list of names, not empty and none of them twice",
    holds=lambda v: len(v) > 0 and all(v) and len(set(v)) == len(v),
)


@frozen(kw_only=True)
class AttributesOptions:
    """Options of the partitioner ``attributes``."""

    attributes: tuple[str, ...] = option(
        check=NAMES, doc="the attributes whose combinations are the shards, as in [Male, Smiling, Young]"
    )
    smallest: float = option(
        default=0.01,
        check=at_least(0),
        doc="fewer items, or below 1 a smaller part of all, are rare: merged into the nearest combination",
    )


@frozen(kw_only=True)
class KMeansOptions:
    """Options of the partitioner ``kmeans``."""

    shards: int = option(check=at_least(1), doc="K, the number of clusters")
    pca: int | None = option(
        default=None, check=at_least(1), doc="principal components of `features` to cluster by; absent: all values"
    )
    features: str = option(
        default="pixels", doc="what is clustered: pixels, dinov2, or what another network of timm, by name, sees"
    )
    weights: Path | None = option(
        default=None, doc="a file of the network's weights; absent: those it was published with"
    )
    restarts: int = option(default=4, check=at_least(1), doc="starts of the search; the tightest clusters are kept")


EXAMPLE = Path(__file__).with_name("example.npz")
"""Eight 4x4 pictures of two classes: what ``numpy`` shows itself with."""
PARQUET_EXAMPLE = Path(__file__).with_name("example.parquet")
"""The same pictures, as ``parquet`` reads them."""
IDX_EXAMPLE = Path(__file__).with_name("example-idx")
"""A folder of the same pictures, as ``idx`` reads them."""

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
    PluginDef(
        kind="data",
        name="idx",
        options=IdxOptions,
        target="mixvel_data.idx_source:idx",
        example_options=IdxOptions(path=str(IDX_EXAMPLE)),
        summary="MNIST, KMNIST, EMNIST and other grey images in IDX files, packed by gzip or not",
    ),
    PluginDef(
        kind="data",
        name="fashion-mnist",
        options=FashionOptions,
        target="mixvel_data.idx_source:fashion_mnist",
        example_options=FashionOptions(path=str(IDX_EXAMPLE)),
        smoke={"use": "procedural", "resolution": 16, "count": 400},
        summary="Fashion-MNIST: 70000 grey images of 28x28 pixels in ten classes; Debian has it as a package",
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
