"""Encoder: half a U-Net, from (x, t) to a few numbers for each image.

A convolution, then levels of one residual block each, height and width halved between them; the last maps are averaged
to a grid of at most 4 x 4 places, so that it is kept where something is, and a small perceptron reads the grid. Time
comes in as in FiLM (arXiv 1709.07871): each block scales and shifts its maps by linear functions of features of t. A
class, where items have one, is a vector that is added to these features; C stands for no class.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from mixvel_core.randomness import seeded

GRID = 4
"""Height and width of the last maps, at most."""
_FREQUENCIES, _WIDTH = 16, 64


class TimeFeatures(nn.Module):
    """cos(pi j t), j = 1..n: smooth features by which times differ, (B,) -> (B, n)."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def forward(self, t: Tensor, dtype: torch.dtype) -> Tensor:
        """The features in ``dtype``."""
        j = torch.arange(1, self.n + 1, device=t.device)
        return torch.cos(math.pi * j * t[:, None]).to(dtype)


class TimedBlock(nn.Module):
    """h + the output of two convolutions, with scale 1 + f(t) and shift g(t) between them; zero at the beginning."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm_in = _norm(channels)
        self.conv_in = nn.Conv2d(channels, channels, 3, padding=1)
        self.film = nn.Linear(_WIDTH, 2 * channels)
        self.norm_out = _norm(channels)
        self.conv_out = _zeroed(nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        """(B, c, H, W) at features e of the times, (B, 64)."""
        f, g = self.film(e)[:, :, None, None].chunk(2, dim=1)
        inner = self.norm_out(self.conv_in(silu(self.norm_in(h)))) * (1.0 + f) + g
        changed: Tensor = self.conv_out(silu(inner))
        return h + changed


class ClassVector(nn.Module):
    """A vector of each class 0..C-1, and of none, C; zero at the beginning, as if there were no classes."""

    def __init__(self, classes: int, size: int) -> None:
        super().__init__()
        self.none = classes
        self.vectors = _zeroed(nn.Embedding(classes + 1, size))

    def forward(self, count: int, classes: Tensor | None) -> Tensor:
        """Those of ``classes``, (B,) int64, or of none for all ``count`` rows B: (B, size), or (1, size)."""
        if classes is None:
            classes = torch.full((1,), self.none, device=next(self.parameters()).device)
        found: Tensor = self.vectors(classes)
        return found.expand(count, -1)


class Encoder(nn.Module):
    """``levels``: channels of each level. ``stride``: of the first convolution. ``classes``: C; 0 for none.

    Its output is zero at the beginning.
    """

    def __init__(
        self, shape: tuple[int, ...], levels: tuple[int, ...], stride: int, outputs: int, classes: int = 0
    ) -> None:
        super().__init__()
        self.features = TimeFeatures(_FREQUENCIES)
        self.time = nn.Sequential(nn.Linear(_FREQUENCIES, _WIDTH), nn.SiLU(), nn.Linear(_WIDTH, _WIDTH), nn.SiLU())
        self.first = nn.Conv2d(shape[0], levels[0], 3, stride=stride, padding=1)
        self.blocks = nn.ModuleList(TimedBlock(c) for c in levels)
        self.halvings = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(levels))
        grid = min(GRID, shape[1]), min(GRID, shape[2])
        self.pooled = nn.Sequential(_norm(levels[-1]), nn.SiLU(), nn.AdaptiveAvgPool2d(grid), nn.Flatten())
        places = levels[-1] * grid[0] * grid[1]
        self.head = nn.Sequential(nn.Linear(places + _WIDTH, _WIDTH), nn.SiLU(), _zeroed(nn.Linear(_WIDTH, outputs)))
        self.of_class = ClassVector(classes, _WIDTH) if classes else None

    def forward(self, x: Tensor, t: Tensor, classes: Tensor | None = None) -> Tensor:
        """(B, outputs) at x, (B, C, H, W), t, (B,), and perhaps classes, (B,), in the type of x; computed in that of
        the weights."""
        dtype = self.first.weight.dtype
        e = self.time(self.features(t, dtype))
        if self.of_class is not None:
            e = e + self.of_class(len(x), classes)
        h = self.first(x.to(dtype))
        for i, block in enumerate(self.blocks):
            h = block(h if i == 0 else self.halvings[i - 1](h), e)
        output: Tensor = self.head(torch.cat([self.pooled(h), e], dim=1))
        return output.to(x.dtype)


def make_encoder(
    shape: tuple[int, ...], channels: tuple[int, ...], stride: int, outputs: int, seed: int, classes: int = 0
) -> Encoder:
    """A fresh encoder, on the CPU in float32; torch's own generator is left alone.

    Args:
        shape: (C, H, W) of its input; any height and width.
        channels: of each level; levels after the first whose maps are no larger than the grid are dropped.
        stride: of the first convolution, if images are larger than the grid.
        outputs: how many numbers it gives.
        seed: of its initial weights.
        classes: C, where it reads the class of items; 0 where not.
    """
    size = min(shape[1:])
    stride = stride if size > GRID else 1
    size = -(-size // stride)
    levels = [channels[0]]
    for c in channels[1:]:
        if size <= GRID:
            break
        levels.append(c)
        size = -(-size // 2)
    with seeded(seed):
        return Encoder(shape, tuple(levels), stride, outputs, classes)


class Perceptron(nn.Module):
    """The same for vectors: hidden layers of a vector together with features of its time, zero at the beginning.

    The vector of a class is added to what goes into the first hidden layer.
    """

    def __init__(self, size: int, width: int, depth: int, outputs: int, classes: int = 0) -> None:
        super().__init__()
        self.features = TimeFeatures(_FREQUENCIES // 2)
        widths = [size + self.features.n, *[width] * depth]
        hidden = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.SiLU())]
        self.layers = nn.Sequential(*hidden, _zeroed(nn.Linear(widths[-1], outputs)))
        self.of_class = ClassVector(classes, width) if classes else None

    def forward(self, x: Tensor, t: Tensor, classes: Tensor | None = None) -> Tensor:
        """(B, outputs) at x, (B, D), t, (B,), and perhaps classes, (B,), in the type of x; computed in that of the
        weights."""
        dtype = next(self.parameters()).dtype
        h = torch.cat([x.to(dtype), self.features(t, dtype)], dim=1)
        for i, layer in enumerate(self.layers):
            h = layer(h)
            if i == 0 and self.of_class is not None:
                h = h + self.of_class(len(x), classes)
        return h.to(x.dtype)


def make_perceptron(size: int, width: int, depth: int, outputs: int, seed: int, classes: int = 0) -> Perceptron:
    """A fresh perceptron of ``depth`` hidden layers for vectors of ``size`` numbers, on the CPU in float32.

    ``classes``: C, where it reads the class of items; 0 where not.
    """
    with seeded(seed):
        return Perceptron(size, width, depth, outputs, classes)


def _norm(channels: int) -> nn.GroupNorm:
    """Groups of four channels or more, at most eight of them."""
    return nn.GroupNorm(max(g for g in range(1, 9) if channels % g == 0 and (g == 1 or channels // g >= 4)), channels)


def _zeroed(layer: nn.Conv2d | nn.Linear | nn.Embedding) -> nn.Module:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
