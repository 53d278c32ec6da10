"""Counts: parameters and FLOPs of networks that are to be trained, without making their weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from mixvel_core.errors import MixvelError
from mixvel_core.protocols import ConditionedTask, DenoisingObjective
from mixvel_core.protocols.condition_spec import null_condition

if TYPE_CHECKING:
    from torch import nn

    from mixvel_core.protocols import Condition, Objective, TrainTask


@frozen(kw_only=True)
class Network:
    """``parameters``: how many are trained. ``forward``: FLOPs of one evaluation of one item. ``training``: of one item
    forwards and backwards. Matrix products and convolutions are counted, a multiply-add as two, and nothing else."""

    parameters: int
    forward: int
    training: int


@frozen(kw_only=True)
class Counts:
    """Counts networks that read points of shape ``*data`` and times, and if ``labelled`` the shard of each point, and
    the conditions of those that denoise.

    They are counted on torch's meta device: nothing is computed, and no memory taken, whatever their size. Networks of
    the same design, modules and shapes of parameters, are counted once, however they are trained.
    """

    shape: tuple[int, ...]
    labelled: bool = False
    _found: dict[object, Network | None] = field(factory=dict, init=False)

    def of(self, task: TrainTask) -> Network | None:
        """The network of a task; None where it cannot be counted."""
        try:
            objective = made_without_memory(task)
        except _UNCOUNTABLE:
            return None
        design = design_of(objective.network)
        if design not in self._found:
            self._found[design] = _count(objective, task, self.shape, self.labelled)
        return self._found[design]


# A plugin's network may be a function of something else, or do what is not known for networks without weights.
_UNCOUNTABLE = (MixvelError, RuntimeError, TypeError, ValueError, AttributeError)


def _count(objective: Objective, task: TrainTask, shape: tuple[int, ...], labelled: bool) -> Network | None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    network, condition = objective.network, _null_of(task)
    x, t = torch.empty((1, *shape), device="meta"), torch.empty(1, device="meta")
    label = torch.empty(1, dtype=torch.int64, device="meta")
    try:
        with FlopCounterMode(display=False) as counter:
            if condition is not None and isinstance(objective, DenoisingObjective):
                answer = objective.denoise(network, x, t, label, condition.to("meta"))
            else:
                answer = network(x, t, label) if labelled else network(x, t)
            forward = counter.get_total_flops()
            answer.sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it without annotations
            training = counter.get_total_flops()
    except _UNCOUNTABLE:
        return None
    return Network(
        parameters=sum(p.numel() for p in network.parameters() if p.requires_grad),
        forward=int(forward),
        training=int(training),
    )


def _null_of(task: TrainTask) -> Condition | None:
    return null_condition(task.conditions) if isinstance(task, ConditionedTask) else None


def made_without_memory(task: TrainTask) -> Objective:
    """The network of a task and its loss, on torch's meta device."""
    import torch

    try:
        with torch.device("meta"):
            return task.objective(0)
    except RuntimeError:
        # Losses that look at data cannot be made there; then the network is made with its weights, which are dropped.
        made = task.objective(0)
        made.network.to("meta")
        return made


def design_of(network: nn.Module) -> str:
    """The modules of a network and the shapes of its parameters, as text."""
    return f"{network!r} {[tuple(parameter.shape) for parameter in network.parameters()]}"
