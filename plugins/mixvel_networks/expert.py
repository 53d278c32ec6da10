"""UNetExpert: a network's prediction, of whatever kind, as the denoiser of its shard."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from attrs import evolve, frozen
from torch import Tensor, nn

from mixvel_core.field.conversions import Prediction, denoiser, point_for
from mixvel_core.protocols import Moments, NoiseSchedule, SchedulePoint

if TYPE_CHECKING:
    from mixvel_core.types import Points, Times

LEAST_ALPHA = 1e-3


@frozen(kw_only=True)
class UNetExpert:
    """m(x, t) from a network (V4, inverted).

    ``network``: (x, t) -> prediction, (B, *data). ``moments``: of the shard, None if they are not shared. ``clip``:
    whether m is kept within [-1, 1]. Gradients with respect to x pass; callers who want none say so.
    """

    schedule: NoiseSchedule
    moments: Moments | None
    network: Callable[[Tensor, Tensor], Tensor]
    prediction: Prediction
    clip: bool
    channels_last: bool = False

    def denoise(self, x: Points, t: Times) -> Points:
        """The denoiser m_k(x, t), (B, *data); the shard's mean where noise prediction tells nothing.

        With eps-prediction m = (x - sigma e) / alpha: below alpha = ``LEAST_ALPHA`` the network's error in e comes
        out a thousand times larger and more, while x holds next to nothing of the data, so that the exact
        denoiser is the mean up to order alpha.
        """
        output = self.network(laid_out(x, channels_last=self.channels_last), t)
        mean = self.moments.mean if self.moments is not None else None
        m = denoised(self.prediction, output, x, point_for(self.schedule, t, x), mean)
        return m.clamp(-1.0, 1.0) if self.clip else m

    def tuned(self, *, channels_last: bool, compiled: bool) -> UNetExpert:
        """The same expert with its weights laid out channels last, compiled, or both; this one is not changed."""
        if not isinstance(self.network, nn.Module):
            return self
        made = tuned_network(self.network, channels_last=channels_last, compiled=compiled)
        return evolve(self, network=made, channels_last=channels_last)


def denoised(prediction: Prediction, output: Tensor, x: Tensor, p: SchedulePoint, mean: Tensor | None) -> Tensor:
    """The denoiser that a network's ``output`` at x amounts to, (B, *data).

    With eps-prediction it is ``mean``, of the shard or of each row's, wherever alpha is below ``LEAST_ALPHA``; no mean
    is known where that is None.
    """
    m = denoiser(prediction, output, x, p)
    if prediction == "eps" and mean is not None:
        m = torch.where(p.alpha < LEAST_ALPHA, mean.to(x.dtype), m)
    return m


def laid_out(x: Tensor, *, channels_last: bool) -> Tensor:
    """x as the weights are: a network given the other layout would convert at every layer."""
    return x.contiguous(memory_format=torch.channels_last) if channels_last else x


def tuned_network(network: nn.Module, *, channels_last: bool, compiled: bool) -> Callable[..., Tensor]:
    """A copy with its weights channels last, the network compiled, or both."""
    if channels_last:
        network = copy.deepcopy(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs know no memory_format alone
    return torch.compile(network) if compiled else network
