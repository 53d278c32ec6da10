"""Expert: the denoiser of one shard. ExpertFamily and SharedFamily: how experts are trained, stored and loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from torch import Tensor, nn

    from mixvel_core.protocols.condition_spec import ConditionSpec
    from mixvel_core.protocols.data import Shard
    from mixvel_core.protocols.schedule import NoiseSchedule
    from mixvel_core.protocols.training import TrainTask
    from mixvel_core.types import Indices, Points, Times


@frozen(kw_only=True, eq=False)
class Moments:
    """What a shard's owner shares of its distribution besides an expert: E[x_0] and Var[x_0] of each coordinate.

    ``mean``, ``variance``: shape ``*data``, floating point; variances are not negative.
    """

    mean: Tensor
    variance: Tensor


class Expert(Protocol):
    """m_k(x, t) = E[x_0 given x_t = x, shard k] (V0), whatever the network was trained to predict."""

    @property
    def schedule(self) -> NoiseSchedule:
        """The schedule under which the expert reads x and t."""

    @property
    def moments(self) -> Moments | None:
        """Mean and variance of the shard; the mean is the exact denoiser wherever alpha = 0. None if not shared."""

    def denoise(self, x: Points, t: Times) -> Points:
        """The denoiser at x and t.

        Args:
            x: noisy points, shape (B, *data).
            t: a time for each point, shape (B,), in [0, 1].

        Returns:
            m_k(x, t), shape (B, *data), dtype of x. Rows are independent of each other; x is not changed.
        """


@runtime_checkable
class DensityExpert(Expert, Protocol):
    """An expert in closed form, with the density of its noisy data (D2, D3)."""

    def log_density(self, x: Points, t: Times) -> Tensor:
        """log p_t^k(x) up to a constant shared by the experts of a mixture, shape (B,)."""


@runtime_checkable
class NetworkExpert(Protocol):
    """An expert that is a network, and can be made faster without changing its answers beyond rounding."""

    def tuned(self, *, channels_last: bool, compiled: bool) -> Expert:
        """The same expert with its weights laid out channels last, compiled, or both."""


@runtime_checkable
class WeightedExpert(Protocol):
    """An expert whose weights lie in a network, which can be moved between a device and host memory."""

    @property
    def module(self) -> nn.Module | None:
        """The network; None where there is none after all, as for a wrapper of a closed form."""


@frozen(kw_only=True)
class ExpertConfig:
    """What an expert folder says of itself besides its tensors.

    ``index``: k, or -1 for the monolith. ``count``: items it was trained on. ``fraction``: pi_k.
    ``shape``: ``*data``. ``conditions``: what its items' conditions are; empty where they have none.
    """

    index: int
    count: int
    fraction: float
    shape: tuple[int, ...]
    conditions: tuple[ConditionSpec, ...] = ()


@runtime_checkable
class ExpertFamily(Protocol):
    """A way to make experts: a network to train, or a closed form to write down."""

    def task(self, shard: Shard, schedule: NoiseSchedule) -> TrainTask | None:
        """What to train on this shard, and on nothing else; None for an expert in closed form."""

    def tensors(self, shard: Shard, trained: Mapping[str, Tensor] | None) -> Mapping[str, Tensor]:
        """Everything ``load`` needs, by name. ``trained`` is the averaged state of the task's network."""

    def load(self, config: ExpertConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> Expert:
        """The expert that ``tensors`` describe, on the device where they lie."""


@runtime_checkable
class DiscreetFamily(Protocol):
    """A family whose experts can do without the moments of their shard, which their owner may keep."""

    def without_moments(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """What ``tensors`` returned without anything but the network; ``load`` takes it too.

        Raises RecipeError where these options do not work without.
        """


@runtime_checkable
class PretrainedFamily(Protocol):
    """A family that trains nothing and whose experts may be networks all the same, with a network's precision."""

    def is_network(self) -> bool:
        """Whether any of its experts is one."""


@runtime_checkable
class CheckpointFamily(Protocol):
    """A family of experts that others have trained, which can be made without items of their shards.

    Their shards are known by the shape of an item alone, and count alike.
    """

    def shapes(self) -> Sequence[tuple[int, ...]]:
        """``*data`` of experts 0..K-1. Raises MixvelError where they cannot be had, or need their items."""

    def tensors_without_items(self, index: int) -> Mapping[str, Tensor]:
        """What ``load`` needs of expert ``index``; its moments are not known."""


@runtime_checkable
class ConditionalCheckpoints(Protocol):
    """A ``CheckpointFamily`` whose experts may read conditions: without items, only they know which."""

    def conditions(self) -> Sequence[ConditionSpec]:
        """What the condition of each sample is, the same for all experts; empty where they read none.

        Raises MixvelError where they cannot be had, or are not the same.
        """


class AdapterBase(Protocol):
    """The model that adapters change, as it is stored: the monolith of their run. Picklable."""

    @property
    def key(self) -> str:
        """A digest of what it was made from and of its files."""

    def load(self, device: torch.device | str = "cpu") -> Expert:
        """The model, on ``device``."""


@runtime_checkable
class AdapterFamily(Protocol):
    """A family of experts that are one base and small changes of it, each trained and stored by itself.

    Without its base it makes tasks, so that options and data can be checked, but trains and loads nothing.
    """

    def on(self, base: AdapterBase) -> Self:
        """The family of adapters of ``base``."""

    def count(self) -> int:
        """How many adapters are there already; 0 where they are trained."""

    def tensors_without_items(self, index: int) -> Mapping[str, Tensor]:
        """As of a ``CheckpointFamily``, of an adapter that is there already."""

    def load_together(
        self, configs: Sequence[ExpertConfig], tensors: Sequence[Mapping[str, Tensor]], schedule: NoiseSchedule
    ) -> ExpertGroup | None:
        """All experts, each of its own ``tensors``, the base in memory once; None where each is to be loaded alone."""


class ExpertGroup(Protocol):
    """K experts that are one network in memory."""

    @property
    def schedule(self) -> NoiseSchedule:
        """The schedule under which all of them read x and t."""

    def moments(self, k: int) -> Moments | None:
        """Mean and variance of shard k (see ``Expert.moments``)."""

    def denoise(self, x: Points, t: Times, k: Indices) -> Points:
        """m_k(x, t) as in ``Expert.denoise``, for each row's own expert ``k``, shape (B,), int64 in 0..K-1."""


@runtime_checkable
class NetworkGroup(Protocol):
    """A group that can be made faster, as a ``NetworkExpert`` can."""

    def tuned(self, *, channels_last: bool, compiled: bool) -> ExpertGroup:
        """The same group with its weights laid out channels last, compiled, or both."""


@runtime_checkable
class SharedFamily(Protocol):
    """A family that can also train one network for all shards, where its option ``shared`` is true.

    The methods of ``ExpertFamily`` stay what they are, a network for the shard they are given: the monolith is made by
    them. A shard's label is its place in ``shards``.
    """

    def shared_task(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> TrainTask:
        """What to train: on the items of all shards, each with its shard as its label."""

    def shared_tensors(self, shards: Sequence[Shard], trained: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Everything ``load_shared`` needs, by name. ``trained`` is the averaged state of the task's network."""

    def load_shared(
        self, configs: Sequence[ExpertConfig], tensors: Mapping[str, Tensor], schedule: NoiseSchedule
    ) -> ExpertGroup:
        """The experts that ``tensors`` describe, on the device where they lie, the network in memory once."""
