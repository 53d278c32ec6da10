"""Step: the losses of a batch and one step down their gradient, in parts where the whole does not fit in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from attrs import frozen
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mixvel_core.errors import TrainingError
from mixvel_core.protocols.training import Batch, Objective
from mixvel_core.training.graphed import GraphedNetwork
from mixvel_core.training.options import TrainOptions
from mixvel_core.training.state import TrainState
from mixvel_core.training.world import World


class Watch:
    """Looks at every step and keeps what it saw on the device: asking each time would make each step wait."""

    def __init__(self, name: str, device: torch.device) -> None:
        self._name = name
        self._first = torch.zeros((), dtype=torch.int64, device=device)

    def see(self, step: int, loss: Tensor, norm: Tensor) -> None:
        """``loss``: of step number ``step``, counted from 1. ``norm``: of its gradient. Both scalars."""
        fine = loss.detach().isfinite() & norm.isfinite()
        self._first = torch.where(fine | (self._first > 0), self._first, step)

    def check(self, world: World) -> None:
        """Raises TrainingError naming the first step that went wrong, if one did: on every worker if on one, because
        those who went on would wait for the others without end."""
        never = torch.iinfo(torch.int64).max
        step = int(world.least(torch.where(self._first > 0, self._first, never)))
        if step < never:
            raise TrainingError(
                f"{self._name}: step {step}: the loss or its gradient is not finite; lower learning_rate or look at "
                "the data, and start afresh; the last good checkpoint is kept"
            )

    @property
    def fine(self) -> bool:
        """Whether all was finite so far."""
        return not int(self._first)


@frozen(kw_only=True, eq=False)
class Step:
    """``network`` is what the objective calls: the module of ``state``, or a wrapper of it."""

    objective: Objective
    network: nn.Module
    state: TrainState
    options: TrainOptions

    def take(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """The mean losses over the batch, detached, and the norm of the gradient before clipping."""
        totals: dict[str, Tensor] = {}
        parts = list(_parts(batch, self.options.microbatch))
        self.state.begin()
        if isinstance(self.network, GraphedNetwork):
            self.network.begin()
        for i, part in enumerate(parts):
            share = len(part.x_0) / len(batch.x_0)
            # Workers exchange gradients once a step, not once a part.
            with self._without_exchange() if i + 1 < len(parts) else nullcontext():
                losses = self._losses(part)
                (losses["loss"] * share if share < 1 else losses["loss"]).backward()  # type: ignore[no-untyped-call]  # torch leaves it without annotations
            for name, value in losses.items():
                mine = value.detach() * share if share < 1 else value.detach()
                totals[name] = totals[name] + mine if name in totals else mine
        return totals, self.state.update()

    def _losses(self, batch: Batch) -> Mapping[str, Tensor]:
        reduced = self.options.precision == "bfloat16"
        # A graph holds its own casts of the weights: cached ones would be those of the first step.
        cache = not isinstance(self.network, GraphedNetwork)
        with torch.autocast(batch.x_0.device.type, torch.bfloat16, enabled=reduced, cache_enabled=cache):
            return self.objective.losses(self.network, batch)

    def _without_exchange(self) -> AbstractContextManager[object]:
        # torch.compile keeps what it wraps under this name.
        inner = getattr(self.network, "_orig_mod", self.network)
        return inner.no_sync() if isinstance(inner, DistributedDataParallel) else nullcontext()


def placed(network: nn.Module, options: TrainOptions, device: torch.device) -> nn.Module:
    """The network on its device, in its layout, ready to be trained."""
    # Channels last is for images; nothing but four-dimensional weights has such a layout.
    layout = torch.channels_last if options.channels_last else torch.preserve_format
    moved: nn.Module = network.to(device=device, memory_format=layout)  # type: ignore[call-overload]  # torch's types know 4-D layouts alone
    return moved.train()


def called(network: nn.Module, options: TrainOptions, world: World) -> nn.Module:
    """What the objective calls in place of ``network``: averaging over workers, compiled or replayed if asked for."""
    wrapped = world.wrap(network)
    if options.cuda_graphs and world.size == 1 and all(p.is_cuda for p in network.parameters()):
        return GraphedNetwork(wrapped)
    if not options.compile:
        return wrapped
    compiled: nn.Module = torch.compile(wrapped)  # type: ignore[assignment]  # a module gives a module
    return compiled


def _parts(batch: Batch, size: int | None) -> Iterator[Batch]:
    rows = len(batch.x_0)
    if size is None or size >= rows:
        yield batch
        return
    for start in range(0, rows, size):
        yield batch.rows(slice(start, start + size))
