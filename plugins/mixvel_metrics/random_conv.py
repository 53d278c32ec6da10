"""Features of a fixed random convolutional network: they see strokes and corners, and need no download.

Untrained filters already tell textures and shapes apart: a linear classifier reads 97 % of the 8x8 digits from
these 64 numbers. Draws from a Gaussian with the mean and covariance of the digits' pixels look like nothing, yet
in pixels they are 1.5 times as far from digits as other digits are; here they are 19 times as far (850 of each).
"""

from __future__ import annotations

import hashlib
import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from attrs import frozen
from torch.nn import functional

from mixvel_core.errors import DataError
from mixvel_core.randomness import key, uniform

if TYPE_CHECKING:
    from torch import Tensor

SEED = 0
SMALLEST = 4
FIRST, WIDTH = 32, 64
"""Channels of the first layer, and of every later one."""


@frozen(kw_only=True)
class Layer:
    """A 3x3 convolution: ``weight`` (out, in, 3, 3) and ``bias`` (out,), float64."""

    weight: Tensor
    bias: Tensor


@frozen(kw_only=True)
class RandomConv:
    """Layers of convolution and ReLU with 2x2 average pooling between, then the mean over the image.

    There are two layers for images whose shorter side is below 16, and one more for each doubling.
    """

    layers: tuple[Layer, ...]

    @classmethod
    def for_shape(cls, shape: tuple[int, ...]) -> RandomConv:
        """The network for images of ``shape`` (C, H, W). Raises DataError for vectors and for smaller than 4x4."""
        if len(shape) != 3 or min(shape[1:]) < SMALLEST:
            raise DataError(
                f"features random-conv: made for images of {SMALLEST}x{SMALLEST} pixels or more, "
                f"not for items of shape {shape}; use `features: pixels`"
            )
        depth = max(2, int(math.log2(min(shape[1:]))) - 1)
        widths = [shape[0], FIRST, *[WIDTH] * (depth - 1)]
        return cls(layers=tuple(_layer(i, *pair) for i, pair in enumerate(pairwise(widths))))

    @property
    def dimension(self) -> int:
        """The channels of the last layer."""
        return len(self.layers[-1].bias)

    @property
    def description(self) -> str:
        """Name, number of features, depth, seed and the hash of all weights."""
        digest = hashlib.blake2b(digest_size=6)
        for layer in self.layers:
            for tensor in (layer.weight, layer.bias):
                digest.update(tensor.numpy().astype("<f8").tobytes())
        return (
            f"random-conv ({self.dimension} values, {len(self.layers)} layers, seed {SEED}, hash {digest.hexdigest()})"
        )

    def of(self, items: np.ndarray) -> np.ndarray:
        """The features of images (n, C, H, W), (n, 64) float64."""
        with torch.no_grad():
            h = torch.from_numpy(items.astype(np.float64))
            for i, layer in enumerate(self.layers):
                h = functional.avg_pool2d(h, 2) if i else h
                h = functional.conv2d(h, layer.weight, layer.bias, padding=1).relu()
            return np.asarray(h.mean(dim=(2, 3)).numpy())


def _layer(index: int, inputs: int, outputs: int) -> Layer:
    # Uniform numbers rather than normal ones: they are integer arithmetic, so the bits, and with them the hash,
    # are the same on every machine. sqrt(6 / fan-in) keeps the size of the values from layer to layer.
    shape = (outputs, inputs, 3, 3)
    weight = _symmetric(index, "weight", math.prod(shape)).reshape(shape) * math.sqrt(6 / (9 * inputs))
    return Layer(weight=weight, bias=_symmetric(index, "bias", outputs) * 0.5)


def _symmetric(index: int, name: str, count: int) -> Tensor:
    return 2 * uniform(key(SEED, "random-conv", index, name), torch.arange(count)) - 1
