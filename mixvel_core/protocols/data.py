"""Items: many items of one shape. DataSource: where they come from. Partitioner and Shard: what each expert sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from attrs import field, frozen

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from mixvel_core.protocols.condition_spec import ConditionSpec
    from mixvel_core.protocols.expert import Moments
    from mixvel_core.protocols.progress import Progress


class Items(Protocol):
    """n items, (n, *data), uint8 or float32 in [-1, 1]; or float16, latents of a codec. Arrays are items, memory-mapped
    or not."""

    @property
    def shape(self) -> tuple[int, ...]:
        """n items of shape ``*data``: (n, *data)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the numbers."""

    def __len__(self) -> int:
        """The number of items, n."""

    def __getitem__(self, rows: np.ndarray | slice, /) -> np.ndarray:
        """Some items in the order asked for, (rows, *data): a slice, or integer indices below n, not negative.

        Only what is asked for is in memory afterwards; ``items[:]`` reads everything.
        """


@frozen(kw_only=True)
class GaussianLaw:
    """A Gaussian mixture in closed form, the law of exact data (D3): J components in D dimensions.

    ``weights``: (J,), positive, sum 1. ``means``: (J, D). ``covariances``: (J, D, D), symmetric, positive
    semi-definite. ``classes``: what the condition ``class`` of the items of each component is, (J,) int64; None where
    they have none, or not one a component.
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    classes: np.ndarray | None = None


@frozen(kw_only=True)
class Streaming:
    """Shards are to be kept as Parquet and read as a stream, because they are larger than a disk or a memory.

    ``store``: the URI below which they go; the run folder if None. ``window``: row groups that are shuffled together,
    and are in memory together. ``row_group``: items in a row group; about 4 MiB of them if None.
    """

    store: str | None = None
    window: int = 8
    row_group: int | None = None


@frozen(kw_only=True)
class Data:
    """A data set: images or vectors, with what is known of each item.

    ``items``: (n, *data), uint8 or float32 in [-1, 1]; may be larger than memory. ``labels``: (n,) int64.
    ``attributes``: (n,) arrays by name. ``provenance``: where it comes from, for the report; ``files`` in it says what
    was read and what was left out, and is printed when the data are loaded for a partition.
    ``law``: the closed form whose component ``labels[i]`` drew item i, where the data are drawn from one.
    ``streaming``: how shards are to be streamed; None: they are memory-mapped files in the run folder.
    ``label_names``: what labels 0, 1, ... are called, where they have names. ``label_remedy``: how the data would have
    labels, in words for messages, where they have none.
    """

    items: Items
    labels: np.ndarray | None = None
    attributes: Mapping[str, np.ndarray] = field(factory=dict)
    provenance: Mapping[str, str] = field(factory=dict)
    law: GaussianLaw | None = None
    streaming: Streaming | None = None
    label_names: tuple[str, ...] = ()
    label_remedy: str = ""


class DataSource(Protocol):
    """A named place that data come from."""

    def load(self) -> Data:
        """The whole data set. Raises DataError, naming the way to get it, where it is absent."""


@runtime_checkable
class PreparedSource(DataSource, Protocol):
    """A source whose data are made ready once, which may take long; ``load`` does it too, without a word."""

    def prepare(self, progress: Progress) -> None:
        """Makes the data ready, or goes on with it; does nothing where they are. Raises DataError as ``load`` does."""


@runtime_checkable
class IdentifiedSource(DataSource, Protocol):
    """A source of files that may change where they lie."""

    def identity(self) -> Mapping[str, object]:
        """What becomes different when the data change, as plain data, such as names, sizes and times of files; found
        without reading them. Raises DataError where they are absent."""


class Partitioner(Protocol):
    """Splits a data set into K shards."""

    def assign(self, data: Data, seed: int) -> np.ndarray:
        """The shard of each item, (n,) int64 in 0..K-1. Every item belongs to exactly one shard."""


@runtime_checkable
class NamingPartitioner(Partitioner, Protocol):
    """A partitioner that can say in words what each shard holds."""

    def names(self, data: Data) -> tuple[str, ...]:
        """What stands in shard 0..K-1 of these data, for the report. Raises DataError as ``assign`` does."""


class Shard(Protocol):
    """One part of a data set, read when asked. The only data an expert's training may touch."""

    @property
    def index(self) -> int:
        """k in 0..K-1; -1 for the whole data set."""

    @property
    def count(self) -> int:
        """The number of items."""

    @property
    def fraction(self) -> float:
        """pi_k, the weight of this shard in the mixture."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one item, ``*data``."""

    @property
    def items(self) -> Items:
        """The items, (count, *data), uint8 or float32 in [-1, 1], or latents, float16; read where they are indexed."""

    @property
    def law(self) -> GaussianLaw | None:
        """The closed form the items were drawn from, if there is one."""


@runtime_checkable
class ConditionedShard(Protocol):
    """A shard whose items may have conditions."""

    @property
    def conditions(self) -> tuple[ConditionSpec, ...]:
        """What is known of each item, by name; empty where the data have no conditions. The same for all shards."""

    def condition_values(self) -> Mapping[str, Items]:
        """The values c of the items, by name, in their order: (count,) int64 labels, (count, *shape) float32. Read
        where they are indexed. Raises DataError where they stay with the owner of the items."""


@runtime_checkable
class SharingShard(Protocol):
    """A shard whose items stay with their owner, who may share their moments, Gaussians of them, or class counts."""

    @property
    def origin(self) -> str:
        """Where what the owner shares lies, for messages."""

    @property
    def rank(self) -> int:
        """r of the principal components that are shared; 0 where none are."""

    @property
    def class_counts(self) -> tuple[int, ...]:
        """How many items have class 0, 1, ...; empty where that is not shared."""

    def shared_moments(self) -> Moments | None:
        """Mean and variance of the items; None where only their count is shared."""

    def shared_gaussians(self) -> Mapping[str, Tensor] | None:
        """Principal components or k-means Gaussians of the items, the fields of ``ShardGaussians`` by name, float32;
        None where neither are shared."""
