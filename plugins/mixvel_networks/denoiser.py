"""A network's prediction, of whatever kind, as the denoiser of its shard (V4, inverted).

With eps-prediction m = (x - sigma e) / alpha: below alpha = ``LEAST_ALPHA`` the network's error in e comes out a
thousand times larger and more, while x holds next to nothing of the data, so that the exact denoiser is the mean of the
shard up to order alpha. There the mean takes the network's place, where it is shared; under a condition too, whose own
mean is not known.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Self

import torch
from attrs import evolve, field, frozen
from torch import Tensor, nn

from mixvel_core.field.conversions import Prediction, denoiser, point_for
from mixvel_core.protocols import Condition, Moments, NoiseSchedule
from mixvel_networks.inputs import NetworkInputs

if TYPE_CHECKING:
    from mixvel_core.types import Indices, Points, Times

LEAST_ALPHA = 1e-3


@frozen(kw_only=True, eq=False)
class _OfNetwork:
    schedule: NoiseSchedule
    network: Callable[..., Tensor]
    prediction: Prediction
    clip: bool
    channels_last: bool = False
    inputs: NetworkInputs = field(factory=NetworkInputs)
    condition: Condition | None = None

    @property
    def null(self) -> Condition | None:
        """The null condition, one row; None where the network reads no condition."""
        return self.inputs.null

    def given(self, condition: Condition) -> Self:
        """The same under a condition, row by row; this one is not changed."""
        return evolve(self, condition=condition)

    @property
    def module(self) -> nn.Module | None:
        """The network, where it is a module."""
        return self.network if isinstance(self.network, nn.Module) else None

    def tuned(self, *, channels_last: bool, compiled: bool) -> Self:
        """The same with its weights laid out channels last, compiled, or both; this one is not changed."""
        if not isinstance(self.network, nn.Module):
            return self
        network = self.network
        if channels_last:
            network = copy.deepcopy(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs know no memory_format alone
        made = torch.compile(network) if compiled else network
        return evolve(self, network=made, channels_last=channels_last)

    def _denoised(self, x: Tensor, t: Tensor, mean: Tensor | None, k: Tensor | None = None) -> Tensor:
        """m at x; ``mean``: (*data) or (B, *data), read for eps-prediction alone. ``k``: labels, if any."""
        # Laid out as the weights are: a network given the other layout would convert at every layer.
        laid_out = x.contiguous(memory_format=torch.channels_last) if self.channels_last else x
        p = point_for(self.schedule, t, x)
        given = self.inputs.of(x, k, self.condition)
        m = denoiser(self.prediction, self.network(laid_out, t, *given), x, p)
        if self.prediction == "eps" and mean is not None:
            m = torch.where(p.alpha < LEAST_ALPHA, mean.to(x.dtype), m)
        return m.clamp(-1.0, 1.0) if self.clip else m


@frozen(kw_only=True)
class NetworkDenoiser(_OfNetwork):
    """The expert m(x, t) of one shard, or m(x, t, c) where its network reads conditions.

    ``network``: (x, t, *inputs) -> prediction, (B, *data). ``moments``: of the shard, None if they are not shared.
    ``clip``: whether m is kept within [-1, 1]. ``channels_last``: how the weights are laid out. ``inputs``: what the
    network is given besides x and t. ``condition``: c, a row for each row of x; None: the null one. Gradients with
    respect to x pass.
    """

    moments: Moments | None

    def denoise(self, x: Points, t: Times) -> Points:
        """m(x, t), (B, *data), for x (B, *data) and times t (B,)."""
        return self._denoised(x, t, self.moments.mean if self.moments is not None else None)


@frozen(kw_only=True, eq=False)
class LabelledDenoiser(_OfNetwork):
    """The experts m_k(x, t) of all K shards from one network, which is given the label k of each point.

    ``network``: (x, t, *inputs) -> prediction, (B, *data); without conditions its only input is k. ``mean``,
    ``variance``: of the shards, (K, *data). ``clip``, ``channels_last``, ``inputs``, ``condition``: as of
    ``NetworkDenoiser``.
    """

    mean: Tensor
    variance: Tensor

    def moments(self, k: int) -> Moments:
        """Mean and variance of shard k, (*data) each."""
        return Moments(mean=self.mean[k], variance=self.variance[k])

    def denoise(self, x: Points, t: Times, k: Indices) -> Points:
        """Each row's own m_k(x, t), (B, *data), for labels k (B,)."""
        # Gathered for eps-prediction alone, which reads it: it is as large as x.
        return self._denoised(x, t, self.mean[k] if self.prediction == "eps" else None, k)


_NETWORK = "network."
"""The file of an expert that is a network holds its weights below this, and ``mean`` and ``variance``."""


def stored_tensors(weights: Mapping[str, Tensor], moments: Moments) -> dict[str, Tensor]:
    """The tensors of the file, for ``weights`` by their names in the network and the moments of the expert's shard."""
    return weight_tensors(weights) | moment_tensors(moments)


def weight_tensors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights alone, by their names in the network, as they are called in the file."""
    return {_NETWORK + name: value for name, value in weights.items()}


def moment_tensors(moments: Moments) -> dict[str, Tensor]:
    """The moments alone, as they are called in the file."""
    return {"mean": moments.mean, "variance": moments.variance}


def network_weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights in a file's tensors, by their names in the network."""
    return {name.removeprefix(_NETWORK): value for name, value in tensors.items() if name.startswith(_NETWORK)}


def other_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file that are no weights."""
    return {name: value for name, value in tensors.items() if not name.startswith(_NETWORK)}


def stored_moments(tensors: Mapping[str, Tensor]) -> Moments | None:
    """The moments in a file's tensors; None where they are not shared."""
    if "mean" not in tensors or "variance" not in tensors:
        return None
    return Moments(mean=tensors["mean"], variance=tensors["variance"])


def without_moments(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A file's tensors without mean and variance, for an expert whose shard's moments are not to be shared."""
    return {name: value for name, value in tensors.items() if name not in ("mean", "variance")}


def for_use(network: nn.Module, device: torch.device | None) -> nn.Module:
    """The network on ``device`` (where it is, if None), in evaluation mode and without gradients of its weights."""
    return network.to(device).eval().requires_grad_(False)
