"""GraphedNetwork: a network in training whose kernels a GPU replays as one graph, forward and backward.

A small network has some thousand kernels in a step, and Python starts them more slowly than a GPU computes them. A CUDA
graph starts all of them at once. The arithmetic is the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from attrs import frozen
from torch import Tensor, nn

from mixvel_core.errors import TrainingError

Capture = Callable[[nn.Module, tuple[Tensor, ...]], Callable[..., Tensor]]
"""Of a module and inputs like those that it will have: what replays it."""


def capture_on_gpu(module: nn.Module, inputs: tuple[Tensor, ...]) -> Callable[..., Tensor]:
    """Forward and backward pass of ``module`` as two CUDA graphs; its ``forward`` is replaced."""
    # A capture runs on a stream of its own, and autograd keeps the parameters' nodes of it, which is harmless here.
    warnings.filterwarnings("ignore", "The AccumulateGrad node's stream does not match", UserWarning)
    made = torch.cuda.make_graphed_callables(module, inputs, allow_unused_input=True)
    return made  # type: ignore[return-value]  # a module gives a module


class GraphedNetwork(nn.Module):
    """``network``, replayed where it is called for the first time in a step, with inputs like the very first ones.

    A graph writes its output, and its gradients, where it wrote the last ones. So a second call before the backward
    pass, and inputs of another shape or with gradients of their own, are computed without it.

    Args:
        network: the module, on its device, in training mode; its parameters keep their storage from now on.
        capture: makes the graphs.
    """

    def __init__(self, network: nn.Module, capture: Capture = capture_on_gpu) -> None:
        super().__init__()
        self.network = network
        self._capture = capture
        self._graph: Callable[..., Tensor] | None = None
        self._inputs: tuple[_Like, ...] = ()
        self._first = False

    def begin(self) -> None:
        """A step begins: no output of the graph is needed any more."""
        self._first = True

    def forward(self, *inputs: Tensor) -> Tensor:
        """The network's output for the same inputs.

        Raises:
            TrainingError: the network does something that a graph cannot hold, such as reading numbers back.
        """
        first, self._first = self._first, False
        if not first or not torch.is_grad_enabled() or any(x.requires_grad for x in inputs):
            return self._plain(*inputs)
        if self._graph is None:
            self._graph = self._captured(inputs)
            self._inputs = tuple(map(_like, inputs))
        if tuple(map(_like, inputs)) != self._inputs:
            return self._plain(*inputs)
        return self._graph(*inputs)

    def _plain(self, *inputs: Tensor) -> Tensor:
        output: Tensor = self.network(*inputs)
        return output

    def _captured(self, inputs: tuple[Tensor, ...]) -> Callable[..., Tensor]:
        # Copies: a graph reads its inputs where those of its capture were. A module of its own: what is captured has
        # its forward replaced, and the network is called elsewhere with other weights.
        copies = tuple(x.detach().clone() for x in inputs)
        try:
            return self._capture(_Call(self.network), copies)
        except RuntimeError as error:
            text = str(error).partition("\n")[0]
            raise TrainingError(
                f"the network cannot be replayed as a CUDA graph ({text}); set cuda_graphs: false"
            ) from error


@frozen
class _Like:
    shape: torch.Size
    dtype: torch.dtype
    stride: tuple[int, ...]


def _like(x: Tensor) -> _Like:
    return _Like(x.shape, x.dtype, x.stride())


class _Call(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> Tensor:
        output: Tensor = self.network(*inputs)
        return output
