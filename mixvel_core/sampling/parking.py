"""Parking: weights of experts that wait in host memory, and come to the device while another expert computes.

A network keeps its place: only the storage of its parameters and buffers changes between a device and host memory, so
that nothing is built, compiled or read from a disk again. Host copies are pinned where the device is a GPU, and come by
a stream of their own; what computes waits for them, the host does not.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from attrs import define, field
from torch import Tensor, nn

from mixvel_core.protocols import Expert, WeightedExpert


def network_of(expert: Expert) -> nn.Module | None:
    """The network that holds an expert's weights; None where there is none to be moved."""
    return expert.module if isinstance(expert, WeightedExpert) else None


def _tensors(network: nn.Module) -> Iterator[Tensor]:
    yield from network.parameters()
    yield from network.buffers()


@define(kw_only=True, eq=False)
class ParkedNetwork:
    """A network whose weights are on ``device`` or in host memory. ``stream``: by which they come; None on a CPU.

    Weights are taken as they are when it is made, and do not change: going back to host memory copies nothing.
    """

    network: nn.Module
    device: torch.device
    stream: torch.cuda.Stream | None
    is_near: bool = field(default=True, init=False)
    _host: list[Tensor] = field(init=False)
    _arrived: torch.cuda.Event | None = field(default=None, init=False)

    @_host.default
    @torch.inference_mode(False)
    def _copies(self) -> list[Tensor]:
        found = []
        for value in _tensors(self.network):
            copy = torch.empty_like(value, device="cpu", pin_memory=self.stream is not None)
            copy.copy_(value.detach())
            found.append(copy)
        return found

    @property
    def size(self) -> int:
        """The bytes of its weights."""
        return sum(copy.nbytes for copy in self._host)

    def park(self) -> None:
        """To host memory: the device's copies are let go, once what still computes with them is done."""
        for value, copy in zip(_tensors(self.network), self._host, strict=True):
            value.data = copy
        self.is_near, self._arrived = False, None

    # Storage of tensors of inference mode cannot become that of parameters, which are none.
    @torch.inference_mode(False)
    def fetch(self) -> None:
        """Begins to bring the weights to the device; does nothing where they are there or under way."""
        if self.is_near:
            return
        self.is_near = True
        if self.stream is None:
            for value, copy in zip(_tensors(self.network), self._host, strict=True):
                value.data = copy.to(self.device, copy=True)
            return
        computing = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self.stream):
            for value, copy in zip(_tensors(self.network), self._host, strict=True):
                near = copy.to(self.device, non_blocking=True)
                # Made on one stream and used on the other: without this its memory could be given away too early.
                near.record_stream(computing)
                value.data = near
            self._arrived = self.stream.record_event()

    def wait(self) -> None:
        """Lets what computes from here on wait until the weights are there; fetches them first where they are not."""
        self.fetch()
        if self._arrived is not None:
            torch.cuda.current_stream(self.device).wait_event(self._arrived)
            self._arrived = None
