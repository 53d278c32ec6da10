"""The size of a U-Net, and whether images fit one; nothing here imports torch."""

from __future__ import annotations

import math
from typing import Literal

from attrs import frozen

from mixvel_core.errors import RecipeError
from mixvel_core.plugin.options import between, each, option

WIDEST, DEEPEST = 1 << 16, 64
"""Far beyond any network that is trained; a file from elsewhere with more is meant to do harm."""


@frozen(kw_only=True, slots=False)
class Architecture:
    """The size of a U-Net. Without slots: two bases of a class cannot both have some."""

    channels: tuple[int, ...] = option(
        default=(16, 32),
        check=each(between(4, WIDEST)),
        doc="channels of each level; each level halves height and width",
    )
    layers_per_block: int = option(default=1, check=between(1, DEEPEST), doc="residual layers of each level")
    attention: Literal["none", "middle", "inner", "at-16"] = option(
        default="none",
        doc="self-attention nowhere, in the middle block, or there and on all levels but the first, or on the level "
        "whose maps are 16 wide, as in DDPM",
    )

    @property
    def groups(self) -> int:
        """Groups of the group norms: a divisor of all channels, at most 32, of four channels or more each.

        Levels are also joined, but sums of multiples are multiples.
        """
        common = math.gcd(*self.channels)
        return max(g for g in range(1, 33) if common % g == 0 and (g == 1 or common // g >= 4))

    def check(self, shape: tuple[int, ...], what: str) -> None:
        """Raises RecipeError unless ``shape`` is (C, H, W) and can be halved often enough; ``what``: the plugin."""
        if len(shape) != 3:
            raise RecipeError(f"{what}: a U-Net needs images (C, H, W), not items of shape {shape}")
        parts = 2 ** (len(self.channels) - 1)
        if shape[1] % parts or shape[2] % parts:
            below, above = min(shape[1:]) // parts * parts, -(-max(shape[1:]) // parts) * parts
            near = f"{below} and {above}" if below else f"{above}"
            raise RecipeError(
                f"{what}: {len(self.channels)} levels need height and width divisible by {parts}, not "
                f"{shape[1]} x {shape[2]}; the nearest sizes are {near}: set `pad` of the data, or give fewer channels"
            )

        widths = [shape[2] >> level for level in range(len(self.channels))]
        if self.attention in ("at-16", "inner") and not any(self.attends(k, shape[2]) for k in range(len(widths))):
            levels = f"levels of width {', '.join(map(str, widths))}"
            raise RecipeError(
                f"{what}: attention {self.attention} is on none of its {levels}; take `middle`, or other `channels`"
            )

    def attends(self, level: int, width: int) -> bool:
        """Whether level ``level``, counted from 0 at the full ``width`` of the images, has self-attention."""
        if self.attention == "at-16":
            return width >> level == 16
        return self.attention == "inner" and level > 0
