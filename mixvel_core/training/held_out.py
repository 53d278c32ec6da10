"""The loss on items that are held out of a training, by the averaged weights, at every recorded step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from attrs import frozen
from torch import Tensor, nn
from torch.func import functional_call

from mixvel_core.errors import DataError
from mixvel_core.field.scale import to_float
from mixvel_core.protocols import Batch, Items, Objective
from mixvel_core.randomness import key, normal, permutation, uniform
from mixvel_core.training.conditions import ConditionFeed
from mixvel_core.training.options import TrainOptions

ROWS = 256
"""Points that the loss is a mean over. Items, times and noise are the same at every step, so that a curve shows the
network alone; of fewer items each stands at several times, of more the first ones are taken."""

COLUMN = "held_out"
"""The name of the loss among the recorded ones."""


@frozen(kw_only=True, eq=False)
class HeldOutSplit:
    """The items of a training in two parts. ``kept``: indices of those that are trained on, (n,); ``held``: of the
    others, (h,)."""

    kept: np.ndarray
    held: np.ndarray


def held_count(name: str, count: int, fraction: float, *, streamed: bool = False) -> int:
    """How many of ``count`` items are held out: a ``fraction`` in (0, 1) of them, at least one.

    Raises DataError, naming the training, where no item would be left on one side, or they are read as a stream.
    """
    if streamed:
        raise DataError(f"{name}: held_out: items of a stream are read in its order; leave held_out at 0")
    held = max(1, round(fraction * count))
    if held >= count:
        remedy = "make it smaller" if count > 1 else "leave held_out at 0, or take more items"
        raise DataError(f"{name}: held_out of {fraction:g} leaves none of {count} items to train on; {remedy}")
    return held


def split(name: str, count: int, fraction: float, seed: int, *, streamed: bool = False) -> HeldOutSplit:
    """Which of ``count`` items are held out: ``held_count`` of them, chosen by ``seed``. Raises as it does."""
    held = held_count(name, count, fraction, streamed=streamed)
    order = permutation(key(seed, "held-out"), count, 0).numpy()
    return HeldOutSplit(kept=np.sort(order[held:]), held=np.sort(order[:held]))


def held_batch(
    items: Items,
    shards: np.ndarray | None,
    held: np.ndarray,
    options: TrainOptions,
    seed: int,
    conditions: ConditionFeed | None = None,
) -> Batch:
    """``ROWS`` points of the held-out items on the CPU, their times stratified as those of a training batch, each with
    its condition where items have ``conditions``."""
    chosen = np.resize(held[:ROWS], ROWS)
    index = torch.arange(ROWS)
    x_0 = torch.from_numpy(to_float(items[chosen]))
    # Rows of one item would otherwise share a range of times.
    part = (permutation(key(seed, "held-out order"), ROWS, 0) + uniform(key(seed, "held-out time"), index)) / ROWS
    t = options.earliest_t + (options.latest_t - options.earliest_t) * part
    labels = np.zeros(ROWS, np.int64) if shards is None else shards[chosen].astype(np.int64)
    return Batch(
        x_0=x_0,
        shard=torch.from_numpy(labels),
        t=t.to(x_0.dtype),
        eps=normal(key(seed, "held-out noise"), index, tuple(x_0.shape[1:]), x_0.dtype),
        progress=0.0,
        condition=None if conditions is None else conditions.at(chosen),
    )


class Averaged(nn.Module):
    """A network that computes with other weights than its own: ``state``, by name."""

    def __init__(self, network: nn.Module, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._network = network
        self._state = dict(state)

    def forward(self, *inputs: Tensor) -> Tensor:
        """The network's output for the same inputs, by the weights ``state``."""
        output: Tensor = functional_call(self._network, self._state, inputs)
        return output


@torch.no_grad()
def held_out_loss(
    objective: Objective, network: nn.Module, state: Mapping[str, Tensor], batch: Batch, size: int
) -> Tensor:
    """The objective's ``loss`` over a batch, ``size`` rows at a time, of ``network`` with the weights ``state``.

    The network is as it is used, not as it is trained (dropout is off), and is left as it was.
    """
    training = network.training
    averaged = Averaged(network.eval(), state)
    total = torch.zeros((), device=batch.x_0.device)
    try:
        for first in range(0, ROWS, size):
            part = batch.rows(slice(first, first + size))
            total += objective.losses(averaged, part)["loss"].float() * (len(part.x_0) / ROWS)
    finally:
        network.train(training)
    return total
