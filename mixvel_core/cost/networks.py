"""FLOPs and parameters of the networks of a run, counted on networks without weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from mixvel_core.errors import MixvelError

if TYPE_CHECKING:
    from torch import nn

    from mixvel_core.protocols import TrainTask

CHECKPOINT = 16
"""Bytes a parameter in a checkpoint: weights, their average and Adam's two moments, float32 each."""

WEIGHTS = 4
"""Bytes a parameter in a model's file, float32."""


@frozen(kw_only=True)
class Network:
    """``parameters``: how many. ``forward``: FLOPs of one evaluation of one item. ``training``: of one item forwards
    and backwards. Matrix products and convolutions are counted, a multiply-add as two, and nothing else."""

    parameters: int
    forward: int
    training: int


@frozen(kw_only=True)
class Counts:
    """Counts networks that read points of shape ``*data`` and times, and if ``labelled`` the shard of each point.

    They are counted on torch's meta device: nothing is computed, and no memory taken, whatever their size. Networks of
    the same design, modules and shapes of parameters, are counted once, however they are trained.
    """

    shape: tuple[int, ...]
    labelled: bool = False
    _found: dict[object, Network | None] = field(factory=dict, init=False)

    def of(self, task: TrainTask) -> Network | None:
        """The network of a task; None where it cannot be counted."""
        try:
            network = _made(task)
        except _UNCOUNTABLE:
            return None
        design = repr(network), tuple(parameter.shape for parameter in network.parameters())
        if design not in self._found:
            self._found[design] = _count(network, self.shape, self.labelled)
        return self._found[design]


# A plugin's network may be a function of something else, or do what is not known for networks without weights.
_UNCOUNTABLE = (MixvelError, RuntimeError, TypeError, ValueError, AttributeError)


def _count(network: nn.Module, shape: tuple[int, ...], labelled: bool) -> Network | None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    x, t = torch.empty((1, *shape), device="meta"), torch.empty(1, device="meta")
    labels = (torch.empty(1, dtype=torch.int64, device="meta"),) if labelled else ()
    try:
        with FlopCounterMode(display=False) as counter:
            answer = network(x, t, *labels)
            forward = counter.get_total_flops()
            answer.sum().backward()
            training = counter.get_total_flops()
    except _UNCOUNTABLE:
        return None
    return Network(
        parameters=sum(p.numel() for p in network.parameters()), forward=int(forward), training=int(training)
    )


def _made(task: TrainTask) -> nn.Module:
    import torch

    try:
        with torch.device("meta"):
            return task.objective(0).network
    except RuntimeError:
        # Losses that look at data cannot be made there; then the network is made with its weights, which are dropped.
        return task.objective(0).network.to("meta")
