"""noise-levels: weights by the time alone, for experts that part the time axis among them, data first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from attrs import frozen
from torch import Tensor
from torch.nn.functional import pad

from mixvel_core.errors import RecipeError
from mixvel_core.protocols import NoiseSchedule, RouterConfig, Shard, TrainTask
from mixvel_routers.closed_form_options import NoiseLevelsOptions

if TYPE_CHECKING:
    from mixvel_core.types import Points, Times, Weights


@frozen(kw_only=True)
class NoiseLevelsRouter:
    """a_k(t) = s_{k-1}(t) - s_k(t), where s_k rises from 0 to 1 at boundary b_k, over ``width``, about its middle.

    Expert 0 has the times nearest data. With width 0 a boundary belongs to the times above it.
    """

    boundaries: tuple[float, ...]
    width: float

    def start(self, x: Points, t: Times) -> None:
        """Returns None: the router keeps no state."""

    def weights(self, x: Points, t: Times, state: None) -> tuple[Weights, None]:
        """(B, K), the same for all x."""
        # Both rounded alike: a time that is a boundary stays one.
        boundaries = torch.tensor(self.boundaries, dtype=t.dtype, device=t.device)
        above = t.double()[:, None] - boundaries.double()
        risen = (above / self.width + 0.5).clamp(0.0, 1.0) if self.width > 0 else (above >= 0).double()
        # Before the first boundary everything has risen, after the last one nothing.
        return -pad(pad(risen, (1, 0), value=1.0), (0, 1)).diff(dim=1).to(x.dtype), None


@frozen(kw_only=True)
class NoiseLevelsFamily(NoiseLevelsOptions):
    """Nothing is trained or stored."""

    def tasks(self, shards: Sequence[Shard], schedule: NoiseSchedule) -> Mapping[str, TrainTask]:
        """No networks to train."""
        return {}

    def check(self, shards: Sequence[Shard]) -> None:
        """Raises RecipeError where there are not as many experts as intervals of times."""
        parts = len(self._times())
        if len(shards) != parts + 1:
            raise RecipeError(
                f"router noise-levels: {parts} boundaries are for {parts + 1} experts, and there are {len(shards)}"
            )

    def tensors(self, shards: Sequence[Shard], trained: Mapping[str, Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """No tensors to store. Raises RecipeError as ``check`` does."""
        self.check(shards)
        return {}

    def load(self, config: RouterConfig, tensors: Mapping[str, Tensor], schedule: NoiseSchedule) -> NoiseLevelsRouter:
        """The router of these boundaries."""
        return NoiseLevelsRouter(boundaries=self._times(), width=self.width)

    def _times(self) -> tuple[float, ...]:
        if self.boundaries is None:
            raise RecipeError("router noise-levels: boundaries are left open; give the times")
        return self.boundaries
