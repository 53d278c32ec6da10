"""A network's prediction, of whatever kind, as the denoiser of its shard (V4, inverted).

With eps-prediction m = (x - sigma e) / alpha: below alpha = ``LEAST_ALPHA`` the network's error in e comes out a
thousand times larger and more, while x holds next to nothing of the data, so that the exact denoiser is the mean of the
shard up to order alpha. There the mean takes the network's place, where it is shared.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from attrs import evolve, frozen
from torch import Tensor, nn

from mixvel_core.field.conversions import Prediction, denoiser, point_for
from mixvel_core.protocols import Moments, NoiseSchedule

if TYPE_CHECKING:
    from mixvel_core.types import Indices, Points, Times

LEAST_ALPHA = 1e-3


@frozen(kw_only=True)
class NetworkDenoiser:
    """The expert m(x, t) of one shard.

    ``network``: (x, t) -> prediction, (B, *data). ``moments``: of the shard, None if they are not shared. ``clip``:
    whether m is kept within [-1, 1]. ``channels_last``: how the weights are laid out. Gradients with respect to x pass.
    """

    schedule: NoiseSchedule
    moments: Moments | None
    network: Callable[[Tensor, Tensor], Tensor]
    prediction: Prediction
    clip: bool
    channels_last: bool = False

    def denoise(self, x: Points, t: Times) -> Points:
        """m(x, t), (B, *data), for x (B, *data) and times t (B,)."""
        output = self.network(_laid_out(x, channels_last=self.channels_last), t)
        mean = self.moments.mean if self.moments is not None else None
        return _denoised(self.prediction, output, x, t, self.schedule, mean, clip=self.clip)

    def tuned(self, *, channels_last: bool, compiled: bool) -> NetworkDenoiser:
        """The same expert with its weights laid out channels last, compiled, or both; this one is not changed."""
        if not isinstance(self.network, nn.Module):
            return self
        made = _tuned_network(self.network, channels_last=channels_last, compiled=compiled)
        return evolve(self, network=made, channels_last=channels_last)


@frozen(kw_only=True, eq=False)
class LabelledDenoiser:
    """The experts m_k(x, t) of all K shards from one network, which is given the label k of each point.

    ``network``: (x, t, k) -> prediction, (B, *data). ``mean``, ``variance``: of the shards, (K, *data). ``clip``,
    ``channels_last``: as of ``NetworkDenoiser``.
    """

    schedule: NoiseSchedule
    network: Callable[[Tensor, Tensor, Tensor], Tensor]
    mean: Tensor
    variance: Tensor
    prediction: Prediction
    clip: bool
    channels_last: bool = False

    def moments(self, k: int) -> Moments:
        """Mean and variance of shard k, (*data) each."""
        return Moments(mean=self.mean[k], variance=self.variance[k])

    def denoise(self, x: Points, t: Times, k: Indices) -> Points:
        """Each row's own m_k(x, t), (B, *data), for labels k (B,)."""
        output = self.network(_laid_out(x, channels_last=self.channels_last), t, k)
        # Gathered for eps-prediction alone, which reads it: it is as large as x.
        mean = self.mean[k] if self.prediction == "eps" else None
        return _denoised(self.prediction, output, x, t, self.schedule, mean, clip=self.clip)

    def tuned(self, *, channels_last: bool, compiled: bool) -> LabelledDenoiser:
        """The same experts with their weights laid out channels last, compiled, or both; these are not changed."""
        if not isinstance(self.network, nn.Module):
            return self
        made = _tuned_network(self.network, channels_last=channels_last, compiled=compiled)
        return evolve(self, network=made, channels_last=channels_last)


def _denoised(
    prediction: Prediction,
    output: Tensor,
    x: Tensor,
    t: Tensor,
    schedule: NoiseSchedule,
    mean: Tensor | None,
    *,
    clip: bool,
) -> Tensor:
    """m from the network's ``output`` at x; ``mean``: (*data) or (B, *data), read for eps-prediction alone."""
    p = point_for(schedule, t, x)
    m = denoiser(prediction, output, x, p)
    if prediction == "eps" and mean is not None:
        m = torch.where(p.alpha < LEAST_ALPHA, mean.to(x.dtype), m)
    return m.clamp(-1.0, 1.0) if clip else m


def _laid_out(x: Tensor, *, channels_last: bool) -> Tensor:
    # As the weights are: a network given the other layout would convert at every layer.
    return x.contiguous(memory_format=torch.channels_last) if channels_last else x


def _tuned_network(network: nn.Module, *, channels_last: bool, compiled: bool) -> Callable[..., Tensor]:
    if channels_last:
        network = copy.deepcopy(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs know no memory_format alone
    return torch.compile(network) if compiled else network
