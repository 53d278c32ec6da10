"""An adapter: for some layers of a network, W x + s B A x in place of W x, A of r rows and B of r columns.

LoRA (Hu et al. 2021, arXiv:2106.09685), s = alpha / r. Of a convolution A is one with r channels, of the layer's own
kernel, stride and padding, and B a matrix of channels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import torch
from attrs import frozen
from torch import Tensor, nn

from mixvel_core.artifacts.files import digest
from mixvel_core.errors import ArtifactError, DataError

Layer: TypeAlias = nn.Linear | nn.Conv2d
_CONFIG, _A, _B = "adapter_config", ".lora_A.weight", ".lora_B.weight"
_PARTS = ("unet.", "transformer.")
"""Of pipelines of diffusers, with which names in its files begin."""
_SHOWN = 3


@frozen(kw_only=True, eq=False)
class LowRank:
    """The change s B A of one layer.

    ``A``: (r, in), of a convolution (r, in, h, w). ``B``: (out, r), of a convolution (out, r, 1, 1). ``alpha``: s r.
    """

    A: Tensor
    B: Tensor
    alpha: float

    @property
    def rank(self) -> int:
        """The rank r of the adapter."""
        return len(self.A)

    @property
    def scale(self) -> float:
        """s = alpha / r."""
        return self.alpha / self.rank

    def weight(self) -> Tensor:
        """s B A, of the shape of the layer's own weight."""
        return self.scale * torch.einsum("or,r...->o...", self.B.flatten(1), self.A)


@frozen(kw_only=True, eq=False)
class Adapter:
    """``layers``: the changes, by the layer's name in the network. ``base``: the digest of the weights of the network
    that it was trained on, as ``digest_of_weights`` gives it; None where that is not recorded."""

    layers: Mapping[str, LowRank]
    base: str | None = None

    def tensors(self) -> dict[str, Tensor]:
        """All of it as tensors, by names that begin with those of the layers; ``adapter_of`` reads them."""
        about = {"base": self.base, "alphas": {name: one.alpha for name, one in self.layers.items()}}
        text = json.dumps(about, sort_keys=True).encode()
        found = {_CONFIG: torch.frombuffer(bytearray(text), dtype=torch.uint8)}
        for name, one in self.layers.items():
            found |= {name + _A: one.A, name + _B: one.B}
        return found


def adapter_of(tensors: Mapping[str, Tensor], where: str) -> Adapter:
    """The adapter in a file's tensors, among others. Raises ArtifactError, naming ``where``, where there is none."""
    try:
        about = json.loads(bytes(tensors[_CONFIG].cpu().tolist()))
        layers = {
            name: LowRank(A=tensors[name + _A], B=tensors[name + _B], alpha=float(alpha))
            for name, alpha in about["alphas"].items()
        }
        return Adapter(layers=layers, base=None if about["base"] is None else str(about["base"]))
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ArtifactError(f"{where}: holds no adapter, or a damaged one ({error}); make it again") from None


def digest_of_weights(network: nn.Module) -> str:
    """A digest of all weights of a network, by name."""
    state = sorted(network.state_dict().items())

    def blocks() -> Iterator[bytes | memoryview]:
        for name, value in state:
            yield f"{name} {value.dtype} {tuple(value.shape)}".encode()
            if value.numel():
                yield value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data

    return digest(blocks())


def layers_of(network: nn.Module) -> dict[str, Layer]:
    """The layers of a network that can be adapted, by name: linear ones, and convolutions of all channels together."""
    return {
        name: layer
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear)
        or (isinstance(layer, nn.Conv2d) and layer.groups == 1 and layer.padding_mode == "zeros")
    }


def chosen(network: nn.Module, targets: Sequence[str], what: str) -> list[str]:
    """The names of the layers whose names are, or end with, one of ``targets``; of all layers where there are none.

    Raises DataError where one of them is no layer's; ``what``: for errors.
    """
    names = list(layers_of(network))
    for target in targets:
        if not any(_ends(name, target) for name in names):
            ends = sorted({name.rpartition(".")[2] for name in names if not name.rpartition(".")[2].isdecimal()})
            raise DataError(f"{what}: targets: no layer's name ends with {target}; there are {', '.join(ends)}")
    return [name for name in names if not targets or any(_ends(name, target) for target in targets)]


def _ends(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def fitted(adapter: Adapter, network: nn.Module, where: str, base: str) -> Adapter:
    """The adapter by the names that layers have in ``network``, and checked against it.

    Args:
        adapter: its names may lack what all names of the network's own layers begin with, as those of an inner module.
        network: the base.
        where: of the adapter, for errors.
        base: the digest of the base's weights.

    Raises:
        DataError: it was trained on another base, or has layers that the base has not, or of other shapes.
    """
    if adapter.base is not None and adapter.base != base:
        raise DataError(
            f"{where}: an adapter of another base (of weights {adapter.base[:8]}, this one's are {base[:8]}); name the "
            "base that it was trained on, or train it again"
        )
    layers = layers_of(network)
    own_names = _own_names(list(adapter.layers), layers)
    if unknown := sorted(name for name in adapter.layers if own_names[name] not in layers):
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise DataError(
            f"{where}: adapts {', '.join(unknown[:_SHOWN])}{more}, and the base has no such layer; is it an adapter of "
            "another base?"
        )
    for name, one in adapter.layers.items():
        own = tuple(layers[own_names[name]].weight.shape)
        if (found := tuple(one.weight().shape)) != own:
            raise DataError(
                f"{where}: {name} changes a weight of shape {found} where the base has {own}; is it an adapter of "
                "another base?"
            )
    return Adapter(layers={own_names[name]: one for name, one in adapter.layers.items()}, base=base)


def _own_names(found: Sequence[str], layers: Mapping[str, Layer]) -> dict[str, str]:
    """The network's names of an adapter's layers: without a part of a pipeline, and behind what stands before all of
    them in the network; as most of them are layers of it."""
    most, best = -1, {name: name for name in found}
    for part in ("", *_PARTS):
        inner = {name: name.removeprefix(part) for name in found}
        starts = {own.removesuffix(one) for one in inner.values() for own in layers if _ends(own, one)} | {""}
        for start in sorted(starts):
            names = {name: start + one for name, one in inner.items()}
            count = sum(own in layers for own in names.values())
            if count > most:
                most, best = count, names
    return best
