"""SharedFamily: one network trained on all shards at once, whose answer with label k is expert k's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from mixvel_core.protocols.data import Shard
    from mixvel_core.protocols.expert import ExpertConfig, Moments
    from mixvel_core.protocols.schedule import NoiseSchedule
    from mixvel_core.protocols.training import TrainTask
    from mixvel_core.types import Indices, Points, Times


class ExpertGroup(Protocol):
    """K experts that are one network in memory."""

    @property
    def schedule(self) -> NoiseSchedule:
        """The schedule under which all of them read x and t."""
        ...

    def moments(self, k: int) -> Moments | None:
        """Mean and variance of shard k (see ``Expert.moments``)."""
        ...

    def denoise(self, x: Points, t: Times, k: Indices) -> Points:
        """The denoiser of each row's own expert.

        Args:
            x: noisy points, shape (B, *data).
            t: a time for each point, shape (B,), in [0, 1].
            k: the expert that each point is put to, shape (B,), int64 in 0..K-1.

        Returns:
            m_k(x, t), shape (B, *data), dtype of x. Rows are independent of each other; x is not changed.
        """
        ...


@runtime_checkable
class NetworkGroup(Protocol):
    """A group that can be made faster, as a ``NetworkExpert`` can."""

    def tuned(self, *, channels_last: bool, compiled: bool) -> ExpertGroup:
        """The same group with its weights laid out channels last, compiled, or both."""
        ...


@runtime_checkable
class SharedFamily(Protocol):
    """A family that can also train one network for all shards, where its option ``shared`` is true.

    The methods of ``ExpertFamily`` stay what they are, a network for the shard they are given: the monolith is made by
    them. A shard's label is its place in ``shards``.
    """

    def shared_task(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> TrainTask:
        """What to train: on the items of all shards, each with its shard as its label."""
        ...

    def shared_tensors(self, shards: Sequence[Shard], trained: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Everything ``load_shared`` needs, by name. ``trained`` is the averaged state of the task's network."""
        ...

    def load_shared(
        self, configs: Sequence[ExpertConfig], tensors: Mapping[str, Tensor], schedule: NoiseSchedule
    ) -> ExpertGroup:
        """The experts that ``tensors`` describe, on the device where they lie, the network in memory once."""
        ...
