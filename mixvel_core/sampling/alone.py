"""The router of one expert: its weight is 1. It lets a monolith be sampled by the same code as a mixture."""

from __future__ import annotations

from attrs import frozen
from torch import Tensor


@frozen(kw_only=True)
class Alone:
    """K = 1."""

    def start(self, x: Tensor, t: Tensor) -> None:
        """No state."""

    def weights(self, x: Tensor, t: Tensor, state: None) -> tuple[Tensor, None]:
        """Ones, (B, 1)."""
        return x.new_ones(len(x), 1), None
