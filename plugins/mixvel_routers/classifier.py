"""Networks from (x_t, t) to numbers, one or more for each expert: a U-Net for images, a perceptron for vectors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from mixvel_core.artifacts.tensors import loaded
from mixvel_core.errors import RecipeError
from mixvel_core.protocols import RouterConfig
from mixvel_core.randomness import seeded
from mixvel_networks.denoiser import for_use
from mixvel_routers.options import ClassifierOptions

_FREQUENCIES = 8


class PixelMean(nn.Module):
    """The mean over pixels of the output of a network of (x, t): (B, K, H, W) -> (B, K)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """(B, K) at x, (B, C, H, W), and t, (B,)."""
        output: Tensor = self.network(x, t)
        return output.mean(dim=(2, 3))


class WithTime(nn.Module):
    """A network of vectors together with cos(pi j t), j = 1..8: smooth features by which times differ."""

    def __init__(self, network: nn.Sequential) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """(B, K) at x, (B, D), and t, (B,), in the type of x."""
        dtype = next(self.network.parameters()).dtype
        j = torch.arange(1, _FREQUENCIES + 1, device=t.device)
        features = torch.cos(math.pi * j * t[:, None])
        output: Tensor = self.network(torch.cat([x, features.to(x.dtype)], dim=1).to(dtype))
        return output.to(x.dtype)


def check_items(options: ClassifierOptions, shape: tuple[int, ...], what: str) -> None:
    """Raises RecipeError where no network here reads items of this shape; ``what`` is the plugin, for the message."""
    if len(shape) == 3:
        options.check(shape, what)
    elif len(shape) != 1:
        raise RecipeError(f"{what}: items must be images (C, H, W) or vectors (D,), not {shape}")


def make_classifier(
    options: ClassifierOptions, shape: tuple[int, ...], outputs: int, seed: int, what: str
) -> nn.Module:
    """A fresh network with ``outputs`` numbers for each item of ``shape``, on the CPU in float32."""
    check_items(options, shape, what)
    if len(shape) == 3:
        from mixvel_networks.unet import make_unet

        return PixelMean(make_unet(options, shape, outputs, seed, what))
    widths = [shape[0] + _FREQUENCIES, *[options.width] * options.depth]
    with seeded(seed):
        hidden = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.SiLU())]
        return WithTime(nn.Sequential(*hidden, nn.Linear(widths[-1], outputs)))


def load_classifier(
    design: ClassifierOptions, config: RouterConfig, tensors: Mapping[str, Tensor], what: str
) -> nn.Module:
    """The trained network of a router, for use, on the device of ``tensors``; ArtifactError where they do not fit."""
    # Any seed: every weight is replaced.
    make = partial(make_classifier, design, config.shape, len(config.fractions), 0, what)
    network = loaded(make, tensors, what)
    return for_use(network, next(iter(tensors.values())).device)
