"""World: the workers that train one network together, each with its slice of every global batch."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field, frozen
from torch import Tensor, nn

from mixvel_core.errors import TrainingError
from mixvel_core.store.reading import GroupReader, ThreadReader


def _same_module(network: nn.Module) -> nn.Module:
    return network


def _same_tensor(value: Tensor) -> Tensor:
    return value


def _same_number(value: int) -> int:
    return value


@frozen(kw_only=True)
class World:
    """Worker ``rank`` of ``size``; one worker alone by default.

    ``wrap``: makes the module whose backward pass averages gradients over the workers. ``mean``, ``least``: the
    average and the smallest of a scalar over the workers. ``agree``: gives every worker the number that rank 0 calls
    it with. Rank 0 alone writes files and decides from them where to go on.
    """

    rank: int = 0
    size: int = 1
    wrap: Callable[[nn.Module], nn.Module] = field(default=_same_module)
    mean: Callable[[Tensor], Tensor] = field(default=_same_tensor)
    least: Callable[[Tensor], Tensor] = field(default=_same_tensor)
    agree: Callable[[int], int] = field(default=_same_number)
    reader: GroupReader = field(factory=ThreadReader)

    @property
    def leads(self) -> bool:
        """Whether this worker writes checkpoints, losses and the result."""
        return self.rank == 0

    def share(self, batch: int) -> range:
        """The rows of a global batch that are this worker's: equal, contiguous slices.

        Equal, because only then is the mean of the workers' gradients the gradient of the global mean.
        """
        if batch % self.size:
            raise TrainingError(
                f"a batch of {batch} cannot be split evenly over {self.size} workers; choose a multiple of {self.size}"
            )
        rows = batch // self.size
        return range(self.rank * rows, (self.rank + 1) * rows)
