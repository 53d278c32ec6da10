"""UNetGroup: a network that is told labels, as the denoisers of all shards."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import evolve, frozen
from torch import Tensor, nn

from mixvel_core.field.conversions import Prediction, point_for
from mixvel_core.protocols import Moments, NoiseSchedule
from mixvel_networks.expert import denoised, laid_out, tuned_network

if TYPE_CHECKING:
    from mixvel_core.types import Indices, Points, Times


@frozen(kw_only=True, eq=False)
class UNetGroup:
    """m_k(x, t) from a network with label k (V4, inverted).

    ``network``: (x, t, k) -> prediction, (B, *data). ``mean``, ``variance``: of the shards, (K, *data). ``clip``:
    whether m is kept within [-1, 1]. Gradients with respect to x pass.
    """

    schedule: NoiseSchedule
    network: Callable[[Tensor, Tensor, Tensor], Tensor]
    mean: Tensor
    variance: Tensor
    prediction: Prediction
    clip: bool
    channels_last: bool = False

    def moments(self, k: int) -> Moments:
        """Of shard k."""
        return Moments(mean=self.mean[k], variance=self.variance[k])

    def denoise(self, x: Points, t: Times, k: Indices) -> Points:
        """Each row's own denoiser, (B, *data), by the rule of ``UNetExpert`` where alpha is next to 0."""
        output = self.network(laid_out(x, channels_last=self.channels_last), t, k)
        # Gathered where it is looked at alone: it is as large as x.
        mean = self.mean[k] if self.prediction == "eps" else None
        m = denoised(self.prediction, output, x, point_for(self.schedule, t, x), mean)
        return m.clamp(-1.0, 1.0) if self.clip else m

    def tuned(self, *, channels_last: bool, compiled: bool) -> UNetGroup:
        """The same group with its weights laid out channels last, compiled, or both; this one is not changed."""
        if not isinstance(self.network, nn.Module):
            return self
        made = tuned_network(self.network, channels_last=channels_last, compiled=compiled)
        return evolve(self, network=made, channels_last=channels_last)
