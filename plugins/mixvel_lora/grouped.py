"""Rows of different experts in one pass of their base: each adapted layer adds s_k B_k A_k x to the rows of expert k.

The base is in memory once, and evaluated once for all rows; only the small products are by expert. They are never
merged into the weights, so one batch may hold rows of all experts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Self, TypeAlias

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

Run: TypeAlias = tuple[int, int, int]
"""Rows ``start`` to ``stop`` of a batch, which are of adapter k: (k, start, stop)."""


@define(eq=False)
class RowsOfAdapters:
    """Which rows of the batch that is being evaluated are of which adapter; without runs all are of adapter 0."""

    runs: Sequence[Run] = ()

    @contextmanager
    def set(self, k: Tensor) -> Iterator[None]:
        """Within the block, row i of a batch is of adapter ``k[i]``, (B,) int64."""
        ends, runs = 0, []
        for label, rows in groupby(k.tolist()):
            start, ends = ends, ends + sum(1 for _ in rows)
            runs.append((int(label), start, ends))
        self.runs = runs
        try:
            yield
        finally:
            self.runs = ()


class AdaptedLayer(nn.Module):
    """A layer and the changes of several adapters, by k; those that have none leave their rows as they are."""

    def __init__(self, layer: Layer, changes: Mapping[int, tuple[Tensor, Tensor]], rows: RowsOfAdapters) -> None:
        super().__init__()
        self.layer = layer
        self.rows = rows
        for k, (down, up) in changes.items():
            self.register_buffer(f"down_{k}", down)
            self.register_buffer(f"up_{k}", up)

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
        runs = self.rows.runs or ((0, 0, len(x)),)
        if runs[-1][2] != len(x):
            raise SamplingError(
                f"a layer of the base reads {len(x)} rows where the batch has {runs[-1][2]}; adapters of such a layer "
                "cannot be evaluated together: set expert.merge=true"
            )
        if len(runs) == 1:
            change = self._change(runs[0][0], x)
            return y if change is None else y + change
        parts = []
        for k, start, stop in runs:
            change = self._change(k, x[start:stop])
            parts.append(y[start:stop] if change is None else y[start:stop] + change)
        return torch.cat(parts)

    def _change(self, k: int, x: Tensor) -> Tensor | None:
        """s_k B_k A_k x; None where adapter k leaves the layer alone."""
        down, up = self._buffers.get(f"down_{k}"), self._buffers.get(f"up_{k}")
        if down is None or up is None:
            return None
        layer = self.layer
        if isinstance(layer, nn.Linear):
            return linear(linear(x, down), up)
        return conv2d(conv2d(x, down, None, layer.stride, layer.padding, layer.dilation), up)


class AdaptedNetwork(nn.Module):
    """A network whose layers some adapters change. ``rows``: which rows of the next batch are of which adapter."""

    def __init__(self, network: nn.Module, adapters: Sequence[Adapter]) -> None:
        super().__init__()
        self.rows = RowsOfAdapters()
        for name, layer in layers_of(network).items():
            changes = {k: _products(one, name, layer) for k, one in enumerate(adapters) if name in one.layers}
            if changes:
                _replace(network, name, AdaptedLayer(layer, changes, self.rows))
        self.network = network

    def forward(self, x: Tensor, t: Tensor, *given: Tensor) -> Tensor:
        """What the network gives for (x, t, *given), each row by its own adapter."""
        output: Tensor = self.network(x, t, *given)
        return output


def _products(adapter: Adapter, name: str, layer: Layer) -> tuple[Tensor, Tensor]:
    """A and s B of a layer, in its type and where it is."""
    change, like = adapter.layers[name], layer.weight
    return change.A.detach().to(like), (change.scale * change.B.detach()).to(like)


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
        """Each row's own m_k(x, t), (B, *data), for adapters k (B,). Rows of one adapter in a row cost the least."""
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
