"""A small convolutional classifier of images, and how it is trained: to give grey images features of their own data.

Three 3x3 convolutions, each followed by batch normalisation and ReLU, with 2x2 pooling after the first two; means over
4x4 fields of the image; a linear layer to 64 values, normalised: the features. ReLU and another linear layer make
logits of them. About 105,000 weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import pairwise

import numpy as np
import torch
from attrs import frozen
from torch import Tensor, nn
from torch.nn import functional

from mixvel_core.field.scale import to_float
from mixvel_core.protocols.data import Items
from mixvel_core.randomness import seeded

WIDTHS = (24, 48, 64)
"""Channels of the three convolutions."""
FEATURES = 64
FIELDS = 4
"""Fields of the image that are averaged over, along each side."""
SMALLEST = 4
"""Pixels of a side that two poolings leave one of."""
_BLOCK = 1024


def repeatable() -> AbstractContextManager[None]:
    """On GPUs: the same algorithm every time, and not TF32, which would leave three digits of a feature."""
    found: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    return found


@frozen(kw_only=True)
class Training:
    """How the classifier is trained: ``epochs`` over the images in batches of ``batch``, Adam with a one-cycle rate up
    to ``peak``, each batch shifted by at most one pixel. ``seed``: of weights, order and shifts."""

    epochs: int = 4
    batch: int = 128
    peak: float = 4e-3
    seed: int = 0


class GreyClassifier(nn.Module):
    """Images (n, C, H, W) in [-1, 1] to logits (n, classes); ``features`` are 64 values, (n, 64)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        widths = pairwise((channels, *WIDTHS))
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in widths)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in WIDTHS)
        self.inner = nn.Linear(WIDTHS[-1] * FIELDS**2, FEATURES, bias=False)
        self.inner_norm = nn.BatchNorm1d(FEATURES)
        self.last = nn.Linear(FEATURES, classes)

    def features(self, x: Tensor) -> Tensor:
        """The features of images, (n, 64)."""
        for i, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            x = functional.max_pool2d(x, 2) if i else x
            x = functional.relu(norm(layer(x)))
        found: Tensor = self.inner_norm(self.inner(functional.adaptive_avg_pool2d(x, FIELDS).flatten(1)))
        return found

    def forward(self, x: Tensor) -> Tensor:
        """The logits of images, (n, classes)."""
        logits: Tensor = self.last(functional.relu(self.features(x)))
        return logits


def train(
    items: Items,
    labels: np.ndarray,
    classes: int,
    training: Training,
    device: torch.device,
    on_batch: Callable[[int], None] = lambda done: None,
) -> GreyClassifier:
    """A classifier of ``items`` (n, C, H, W), uint8 or in [-1, 1], trained on all of them.

    Args:
        items: the images; a batch of them is read at a time.
        labels: (n,), each from 0 to ``classes`` - 1.
        classes: how many there are.
        training: how.
        device: where.
        on_batch: called with the number of images behind.

    Returns:
        The network in evaluation mode, on ``device``.
    """
    with seeded(training.seed):
        network = GreyClassifier(int(items.shape[1]), classes)
    network.to(device).train()
    total = training.epochs * math.ceil(len(items) / training.batch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=training.peak, weight_decay=1e-3)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, training.peak, total_steps=total, pct_start=0.2)
    behind = 0
    for rows, shift in _batches(len(items), training):
        x = torch.from_numpy(to_float(items[rows])).to(device)
        y = torch.from_numpy(labels[rows]).to(device)
        optimizer.zero_grad(set_to_none=True)
        with repeatable():
            loss = functional.cross_entropy(network(_shifted(x, *shift)), y)
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own is not typed
        optimizer.step()
        rate.step()
        behind += len(rows)
        on_batch(behind)
    return network.eval()


def _batches(count: int, training: Training) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
    """Rows of each batch and how far it is shifted down and to the right, epoch after epoch."""
    rng = np.random.default_rng(training.seed)
    for _ in range(training.epochs):
        order = rng.permutation(count)
        for start in range(0, count, training.batch):
            down, right = rng.integers(-1, 2, size=2)
            yield order[start : start + training.batch], (int(down), int(right))


def _shifted(x: Tensor, down: int, right: int) -> Tensor:
    """Images moved by some pixels; what comes in from the side is black."""
    return functional.pad(x, (right, -right, down, -down), value=-1.0)


@torch.no_grad()
def predicted(network: GreyClassifier, items: Items, device: torch.device) -> np.ndarray:
    """The likeliest class of each image, (n,) int64, a block at a time."""
    parts = []
    for start in range(0, len(items), _BLOCK):
        x = torch.from_numpy(to_float(items[start : start + _BLOCK])).to(device)
        with repeatable():
            parts.append(network(x).argmax(1).cpu().numpy())
    return np.concatenate(parts)
