"""Networks of diffusers from their config.json, by diffusers, which takes seconds to import: import this late."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.models.transformers.dit_transformer_2d import DiTTransformer2DModel
from diffusers.models.unets.unet_2d import UNet2DModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from mixvel_core.errors import DataError, SamplingError
from mixvel_foreign.network_configs import DIT, UNET, UNET_TEXT, network_class

_CLASSES: Mapping[str, Any] = {UNET: UNet2DModel, UNET_TEXT: UNet2DConditionModel, DIT: DiTTransformer2DModel}


def make_network(config: Mapping[str, Any], where: str) -> nn.Module:
    """The network on torch's current default device, where the meta device costs nothing.

    Raises DataError where diffusers does not understand the configuration.
    """
    name = network_class(config, Path(where))
    try:
        network: nn.Module = _CLASSES[name].from_config({**config, "_class_name": name})
    # Any exception: the configuration comes from elsewhere.
    except Exception as error:
        raise DataError(f"{where}: diffusers cannot make this network ({type(error).__name__}: {error})") from None
    return network


class ForeignNetwork(nn.Module):
    """A network of diffusers as a function of points and its own time; a learned variance behind its answer is dropped.

    ``label``: the class that it is given; None for one without classes.
    """

    def __init__(self, inner: nn.Module, *, label: int | None = None) -> None:
        super().__init__()
        self.inner = inner
        self.label = label

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """The prediction, (B, *data), in the type of x, at times (B,)."""
        if self.label is None:
            return self._answer(x, time, {})
        return self._answer(x, time, {"class_labels": torch.full((len(x),), self.label, device=x.device)})

    def _answer(self, x: Tensor, time: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        dtype = next(self.inner.parameters()).dtype
        output: Tensor = self.inner(x.to(dtype), time.to(dtype), **given, return_dict=False)[0]
        return output[:, : x.shape[1]].to(x.dtype)


class ClassNetwork(ForeignNetwork):
    """One that reads the class of each sample. ``classes``: C, which as a label stands for no class. ``null``: what
    the network itself has for it; None where it has nothing."""

    def __init__(self, inner: nn.Module, *, classes: int, null: int | None) -> None:
        super().__init__(inner)
        self.classes = classes
        self.null = null

    def forward(self, x: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
        """The prediction for labels (B,) int64 in 0..C; None: no class. Raises SamplingError where there is no row for
        that."""
        if labels is None:
            labels = torch.full((len(x),), self.classes, device=x.device)
        labels = labels.to(x.device)
        if self.null is not None:
            labels = torch.where(labels == self.classes, self.null, labels)
        elif bool((labels == self.classes).any()):
            raise SamplingError(
                "expert diffusers: the network has no class that stands for none, which guidance cfg and samples "
                "without a condition evaluate; name it in `null_class`, or give each sample a class"
            )
        return self._answer(x, time, {"class_labels": labels})


class TextNetwork(ForeignNetwork):
    """One that reads embeddings of a text. ``null``: those of no text, (L, D), in whose place stand zeros."""

    def __init__(self, inner: nn.Module, *, null: Tensor) -> None:
        super().__init__(inner)
        self.null: Tensor
        self.register_buffer("null", null)

    def forward(self, x: Tensor, time: Tensor, text: Tensor | None = None) -> Tensor:
        """The prediction for texts (B, L, D); None, and rows of zeros: no text."""
        if text is None:
            text = x.new_zeros(len(x), *self.null.shape)
        dtype = next(self.inner.parameters()).dtype
        text = text.to(x.device, dtype)
        empty = (text == 0).flatten(1).all(1)[:, None, None]
        given = torch.where(empty, self.null.to(dtype), text)
        return self._answer(x, time, {"encoder_hidden_states": given})
