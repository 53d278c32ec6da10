"""TrainTask: one isolated regression, the same under every launcher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from attrs import evolve, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import torch
    from torch import Tensor, nn

    from mixvel_core.protocols.condition import Condition
    from mixvel_core.protocols.condition_spec import ConditionSpec
    from mixvel_core.protocols.data import Items
    from mixvel_core.protocols.schedule import NoiseSchedule
    from mixvel_core.training.options import TrainOptions


@frozen(kw_only=True)
class Batch:
    """What an objective sees of one step.

    ``x_0``: clean points, (B, *data). ``shard``: the shard of each point, (B,) int64 (zero for an expert's own
    data). ``t``: times, (B,). ``eps``: standard normal noise, the shape of x_0. ``progress``: the part of
    the training that lies behind, in [0, 1). ``condition``: of each point, B rows, some of them null (see
    ``TrainOptions.condition_dropout``); None where the items have none.
    """

    x_0: Tensor
    shard: Tensor
    t: Tensor
    eps: Tensor
    progress: float
    condition: Condition | None = None

    def rows(self, rows: slice | Tensor) -> Batch:
        """Some of its points."""
        condition = None if self.condition is None else self.condition.rows(rows)
        x_0, shard, t, eps = (part[rows] for part in (self.x_0, self.shard, self.t, self.eps))
        return evolve(self, x_0=x_0, shard=shard, t=t, eps=eps, condition=condition)

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        x_0, shard = self.x_0.to(device), self.shard.to(device)
        condition = None if self.condition is None else self.condition.to(device)
        return evolve(self, x_0=x_0, shard=shard, t=self.t.to(device), eps=self.eps.to(device), condition=condition)


class Objective(Protocol):
    """A network and the loss it minimises."""

    @property
    def network(self) -> nn.Module:
        """The module being trained, on the CPU in float32 until the training loop moves it."""

    def losses(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Scalar losses by name; ``"loss"`` is the one minimised, the others are recorded.

        ``network`` is the module to call: the objective's own, or a wrapper of it that a launcher made.
        """


@runtime_checkable
class DenoisingObjective(Objective, Protocol):
    """An objective whose network denoises: samples of it can be shown while it is trained."""

    def denoise(
        self, network: nn.Module, x: Tensor, t: Tensor, shard: Tensor, condition: Condition | None = None
    ) -> Tensor:
        """m(x, t, c), like x (B, *data), by ``network``, at times t (B,), for the shards ``shard`` (B,) int64.

        ``condition``: c of each point, B rows; None where the task has no conditions.
        """


class TrainTask(Protocol):
    """What to train on which data. Picklable, and free of everything the job must not see."""

    @property
    def items(self) -> Items:
        """The data, (n, *data), uint8 or float32 in [-1, 1] (see ``mixvel_core.field.conversions``)."""

    @property
    def shards(self) -> np.ndarray | None:
        """The shard of each item, (n,), or None where the task is not to know."""

    @property
    def schedule(self) -> NoiseSchedule:
        """The schedule that noises the items."""

    @property
    def options(self) -> TrainOptions:
        """How long and how it is trained."""

    def objective(self, seed: int) -> Objective:
        """A fresh network with the initial weights of ``seed``, and its loss."""


@runtime_checkable
class ConditionedTask(Protocol):
    """A training whose points may have conditions."""

    @property
    def conditions(self) -> tuple[ConditionSpec, ...]:
        """What the items' conditions are; empty where they have none, or the network reads none."""

    def condition_values(self) -> Mapping[str, Items]:
        """The values c of the items, by name, in their order."""
