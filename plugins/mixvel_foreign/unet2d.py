"""A UNet2DModel from its config.json, by diffusers, which takes seconds to import: import this late."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor, nn

from mixvel_core.errors import DataError


def make_unet2d(config: Mapping[str, Any], where: str) -> nn.Module:
    """The network on torch's current default device, where the meta device costs nothing.

    Raises DataError where diffusers does not understand the configuration.
    """
    try:
        network: nn.Module = UNet2DModel.from_config(dict(config))
    # Any exception: the configuration comes from elsewhere.
    except Exception as error:
        raise DataError(f"{where}: diffusers cannot make this network ({type(error).__name__}: {error})") from None
    return network


class Unconditional(nn.Module):
    """A UNet2DModel as a function of points and its own time, its class fixed if it has any."""

    def __init__(self, unet: nn.Module, *, label: int | None) -> None:
        super().__init__()
        self.unet = unet
        self.label = label

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """The prediction, (B, *data), in the type of x; a learned variance behind it is dropped."""
        dtype = next(self.unet.parameters()).dtype
        label = None if self.label is None else torch.full((len(x),), self.label, device=x.device)
        output: Tensor = self.unet(x.to(dtype), time.to(dtype), class_labels=label, return_dict=False)[0]
        return output[:, : x.shape[1]].to(x.dtype)
