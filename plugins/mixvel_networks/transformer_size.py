"""The size of a transformer of patches, and whether images fit one; nothing here imports torch."""

from __future__ import annotations

from attrs import frozen

from mixvel_core.errors import RecipeError
from mixvel_core.plugin.options import between, option

WIDEST, DEEPEST = 1 << 14, 256
"""Far beyond any network that is trained; a file from elsewhere with more is meant to do harm."""


@frozen(kw_only=True, slots=False)
class TransformerSize:
    """The size of a transformer. DiT-XL/2 (arXiv 2212.09748) is patch 2, width 1152, depth 28, heads 16."""

    patch: int = option(default=2, check=between(1, 64), doc="side of the squares that images are cut into")
    width: int = option(default=64, check=between(4, WIDEST), doc="numbers of a token, a multiple of `heads`")
    depth: int = option(default=4, check=between(1, DEEPEST), doc="blocks of attention and perceptron")
    heads: int = option(default=4, check=between(1, 256), doc="heads of attention")

    def __attrs_post_init__(self) -> None:
        """Raises ValueError where heads do not share the width out."""
        if self.width % (2 * self.heads):
            raise ValueError(f"width must be a multiple of 2 * heads, {2 * self.heads}, not {self.width}")

    def check_images(self, shape: tuple[int, ...], what: str) -> None:
        """Raises RecipeError unless ``shape`` is (C, S, S) with S a multiple of the patch; ``what``: the plugin."""
        if len(shape) != 3:
            raise RecipeError(f"{what}: a transformer of patches needs images (C, H, W), not items of shape {shape}")
        if shape[1] != shape[2] or shape[1] % self.patch:
            raise RecipeError(
                f"{what}: images must be squares of patches of {self.patch}, not {shape[1]} x {shape[2]}; set `pad` of "
                "the data, or another `patch`"
            )
