"""procedural: coloured shapes drawn by rule, with the classes of CIFAR-10 and the attributes of CelebA by name.

They look like neither, and stand in for both where neither is at hand: same shapes of arrays, same names. Image i is a
function of the seed and i. The class decides the shape; the attributes that recipes split by are seen in the image.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from attrs import frozen

from mixvel_core.protocols import Data
from mixvel_images.celebahq import ATTRIBUTES
from mixvel_images.cifar10 import CLASSES
from mixvel_images.hooks import ProceduralOptions

FRACTIONS = {"Male": 0.4, "Young": 0.7}
"""How many images have an attribute; half of them where nothing is said."""
_VALUES = 1 << 22
"""Pixels drawn together."""
_DRAWN = 8

_Shape = Callable[[np.ndarray, np.ndarray], np.ndarray]

# Signed distance-like functions on [-1, 1]^2: negative inside. One for each class.
_SHAPES: tuple[_Shape, ...] = (
    lambda x, y: np.hypot(x, y) - 0.6,
    lambda x, y: np.maximum(abs(x), abs(y)) - 0.5,
    lambda x, y: abs(x) + abs(y) - 0.7,
    lambda x, y: abs(np.hypot(x, y) - 0.5) - 0.15,
    lambda x, y: np.minimum(abs(x), abs(y)) - 0.15,
    lambda x, y: np.maximum(abs(x) * 0.9 + y * 0.5, -y) - 0.4,
    lambda x, y: np.hypot(x, 2 * y) - 0.7,
    lambda x, y: np.hypot(2 * x, y) - 0.7,
    lambda x, y: abs(np.sin(4 * x)) - 0.5,
    lambda x, y: abs(np.sin(4 * y)) - 0.5,
)


@frozen(kw_only=True)
class Procedural(ProceduralOptions):
    """``count`` images of ``resolution`` pixels a side."""

    def load(self) -> Data:
        """Items (n, 3, R, R) uint8, labels 0..9, and the forty attributes, (n,) bool each."""
        # torch, for numbers that depend on the row alone: paid when the data are wanted.
        import torch

        from mixvel_core.randomness import key, uniform

        rows = torch.arange(self.count)[:, None]
        drawn = uniform(key(self.seed, "procedural", "image"), rows, torch.arange(_DRAWN)).numpy().astype(np.float32)
        coins = uniform(key(self.seed, "procedural", "attributes"), rows, torch.arange(len(ATTRIBUTES))).numpy()
        fractions = np.array([FRACTIONS.get(name, 0.5) for name in ATTRIBUTES])
        labels = (drawn[:, 0] * len(CLASSES)).astype(np.int64)
        attributes = dict(zip(ATTRIBUTES, (coins < fractions).T, strict=True))
        items = np.empty((self.count, 3, self.resolution, self.resolution), np.uint8)
        block = max(1, _VALUES // (3 * self.resolution**2))
        seen = np.stack([attributes[name] for name in ("Male", "Smiling", "Young")], axis=1).astype(np.float32)
        for start in range(0, self.count, block):
            here = slice(start, start + block)
            items[here] = _images(labels[here], seen[here], drawn[here], self.resolution)
        return Data(
            items=items,
            labels=labels,
            attributes=attributes,
            label_names=CLASSES,
            provenance={
                "source": "procedural images, drawn by mixvel by rule: stand-ins, not photographs",
                "count": str(self.count),
                "resolution": f"{self.resolution} x {self.resolution}",
                "classes": ", ".join(CLASSES),
                "seed": str(self.seed),
            },
        )


def _images(labels: np.ndarray, seen: np.ndarray, drawn: np.ndarray, side: int) -> np.ndarray:
    """(n, 3, side, side) uint8. ``seen``: (n, 3), Male turns the hue, Smiling bends, Young brightens."""
    axis = ((np.arange(side, dtype=np.float32) + 0.5) / side) * 2 - 1
    male, smiling, young = (seen[:, a, None, None] for a in range(3))
    shift_x, shift_y, size, hue, tilt, phase = (drawn[:, 1 + j, None, None] for j in range(6))
    x = (axis[None, None, :] - (shift_x - 0.5) * 0.5) / (0.7 + 0.6 * size)
    y = (axis[None, :, None] - (shift_y - 0.5) * 0.5) / (0.7 + 0.6 * size)
    y = y + smiling * 0.5 * (x * x - 0.3)
    distance = np.empty(np.broadcast_shapes(x.shape, y.shape), np.float32)
    for label in np.unique(labels):
        mine = labels == label
        distance[mine] = _SHAPES[label](x[mine], y[mine])
    inside = 1 / (1 + np.exp(np.clip(distance * side / 2, -30, 30)))
    turn = 2 * np.pi * (0.25 * hue + 0.5 * male)
    ground = 0.25 + 0.2 * (tilt * axis[None, None, :] + (1 - tilt) * axis[None, :, None])
    glow = 0.55 + 0.25 * young
    images = np.empty((len(labels), 3, side, side), np.uint8)
    for channel in range(3):
        colour = glow + 0.2 * np.cos(turn + 2 * np.pi * channel / 3)
        back = ground + 0.15 * np.cos(2 * np.pi * (phase + channel / 3))
        images[:, channel] = np.clip((inside * colour + (1 - inside) * back) * 255, 0, 255)
    return images
