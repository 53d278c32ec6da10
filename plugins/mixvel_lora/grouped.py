"""Rows of different experts in one pass of their base: each adapted layer adds s_k B_k A_k x to the rows of expert k.

The base is in memory once, and evaluated once for all rows; only the small products are by expert. They are never
merged into the weights, so one batch may hold rows of all experts. A_k and B_k are gathered for the rows, and a
convolution by A_k is one of as many groups as there are rows: no work is done for adapters that no row has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import torch
from attrs import define, evolve, frozen
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

from mixvel_core.errors import SamplingError
from mixvel_core.protocols import Condition, Moments, NoiseSchedule
from mixvel_lora.adapter import Adapter, Layer, layers_of
from mixvel_networks.denoiser import NetworkDenoiser

if TYPE_CHECKING:
    from mixvel_core.types import Indices, Points, Times


@define(eq=False)
class RowsOfAdapters:
    """Which adapter each row of the batch has that is being evaluated: ``each``, (B,) int64, or all rows ``one``."""

    one: int = 0
    each: Tensor | None = None

    @contextmanager
    def set(self, k: Tensor) -> Iterator[None]:
        """Within the block, row i of a batch is of adapter ``k[i]``, (B,) int64."""
        if len(k) and bool((k == k[0]).all()):
            self.one = int(k[0])
        else:
            self.each = k
        try:
            yield
        finally:
            self.one, self.each = 0, None


class AdaptedLayer(nn.Module):
    """A layer and the changes of K adapters. Smaller ranks are filled up with zeros; so is an adapter that has none.

    ``down``: all A_k, (K r, in) or (K r, in, h, w). ``up``: all s_k B_k, (K, out, r).
    """

    down: Tensor
    up: Tensor

    def __init__(self, layer: Layer, name: str, adapters: Sequence[Adapter], rows: RowsOfAdapters) -> None:
        super().__init__()
        self.layer = layer
        self.rows = rows
        rank = max(one.layers[name].rank for one in adapters if name in one.layers)
        out, *inner = layer.weight.shape
        down = layer.weight.new_zeros(len(adapters), rank, *inner)
        up = layer.weight.new_zeros(len(adapters), out, rank)
        for k, change in ((k, one.layers[name]) for k, one in enumerate(adapters) if name in one.layers):
            down[k, : change.rank] = change.A.detach().to(down)
            up[k, :, : change.rank] = (change.scale * change.B.detach().flatten(1)).to(up)
        # Of no more dimensions than a weight has: layouts, such as channels last, are of four.
        self.register_buffer("down", down.flatten(0, 1))
        self.register_buffer("up", up)

    @property
    def weight(self) -> Tensor:
        """Of the layer without its changes: networks look at its type."""
        return self.layer.weight

    @property
    def bias(self) -> Tensor | None:
        """The bias of the base's layer, which adapters leave as it is."""
        return self.layer.bias

    def forward(self, x: Tensor) -> Tensor:
        """W x + b, and s_k B_k A_k x for the rows of adapter k; x is (B, ...), a row for each of the batch."""
        y: Tensor = self.layer(x)
        each = self.rows.each
        if each is not None and len(each) != len(x):
            raise SamplingError(
                f"a layer of the base reads {len(x)} rows where the batch has {len(each)}; adapters of such a layer "
                "cannot be evaluated together: set expert.merge=true"
            )
        up = self.up
        down = self.down.view(len(up), -1, *self.down.shape[1:])
        if each is None:
            change = self._of_one(x, down[self.rows.one], up[self.rows.one])
        else:
            change = self._of_each(x, down[each], up[each])
        return y + change

    def _of_one(self, x: Tensor, down: Tensor, up: Tensor) -> Tensor:
        """s B A x of one adapter for all rows."""
        layer = self.layer
        if isinstance(layer, nn.Linear):
            return linear(linear(x, down), up)
        return conv2d(conv2d(x, down, None, layer.stride, layer.padding, layer.dilation), up[..., None, None])

    def _of_each(self, x: Tensor, down: Tensor, up: Tensor) -> Tensor:
        """s B A x, each row by its own ``down``, (B, r, ...), and ``up``, (B, out, r)."""
        layer, B = self.layer, len(x)
        if isinstance(layer, nn.Linear):
            inner = x.reshape(B, -1, x.shape[-1])
            product = inner @ down.transpose(1, 2) @ up.transpose(1, 2)
            return product.reshape(*x.shape[:-1], up.shape[1])
        # Rows side by side as channels, of which each group has one row's.
        side_by_side = x.reshape(1, -1, *x.shape[2:])
        made = conv2d(side_by_side, down.flatten(0, 1), None, layer.stride, layer.padding, layer.dilation, groups=B)
        h, w = made.shape[2:]
        return (up @ made.reshape(B, -1, h * w)).reshape(B, -1, h, w)


class AdaptedNetwork(nn.Module):
    """A network whose layers some adapters change. ``rows``: which rows of the next batch are of which adapter."""

    def __init__(self, network: nn.Module, adapters: Sequence[Adapter]) -> None:
        super().__init__()
        self.rows = RowsOfAdapters()
        for name, layer in layers_of(network).items():
            if any(name in one.layers for one in adapters):
                _replace(network, name, AdaptedLayer(layer, name, adapters, self.rows))
        self.network = network

    def forward(self, x: Tensor, t: Tensor, *given: Tensor) -> Tensor:
        """What the network gives for (x, t, *given), each row by its own adapter."""
        output: Tensor = self.network(x, t, *given)
        return output


def _replace(network: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, layer)


@torch.no_grad()
def merge(network: nn.Module, adapter: Adapter) -> None:
    """Adds s B A to the weights of ``network``, in place."""
    layers = layers_of(network)
    for name, change in adapter.layers.items():
        layers[name].weight += change.weight().to(layers[name].weight)


@frozen(kw_only=True, eq=False)
class AdapterGroup:
    """The experts of K adapters on one base.

    ``base``: its network is ``adapted``. ``adapter_moments``: of the shards; None where those of one are not shared.
    """

    base: NetworkDenoiser
    adapted: AdaptedNetwork
    adapter_moments: Sequence[Moments] | None

    @property
    def schedule(self) -> NoiseSchedule:
        """The schedule of the base, which all adapters share."""
        return self.base.schedule

    @property
    def null(self) -> Condition | None:
        """The null condition of the base; None where it reads no condition."""
        return self.base.null

    def given(self, condition: Condition) -> Self:
        """The same experts, row i under row i of ``condition``."""
        return evolve(self, base=self.base.given(condition))

    def moments(self, k: int) -> Moments | None:
        """Mean and variance of shard k, (*data) each."""
        return None if self.adapter_moments is None else self.adapter_moments[k]

    def denoise(self, x: Points, t: Times, k: Indices) -> Points:
        """Each row's own m_k(x, t), (B, *data), for adapters k (B,)."""
        base = self.base
        if base.prediction == "eps" and self.adapter_moments is not None:
            # Each row's own mean: what eps-prediction falls back to where alpha is next to 0.
            rows = [self.adapter_moments[one] for one in k.tolist()]
            mean, variance = (torch.stack(part) for part in zip(*((m.mean, m.variance) for m in rows), strict=True))
            base = evolve(base, moments=Moments(mean=mean, variance=variance))
        with self.adapted.rows.set(k):
            return base.denoise(x, t)

    def tuned(self, *, channels_last: bool, compiled: bool) -> Self:
        """The same with its weights laid out channels last. It is not compiled, whatever ``compiled`` is: which rows
        are of which adapter changes from batch to batch."""
        base = self.base.tuned(channels_last=channels_last, compiled=False)
        adapted = base.network
        return evolve(self, base=base, adapted=adapted) if isinstance(adapted, AdaptedNetwork) else self
