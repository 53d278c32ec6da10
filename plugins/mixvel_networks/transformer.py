"""A transformer of patches (DiT, arXiv 2212.09748) built by diffusers. It imports diffusers: import it late.

The expert is diffusers' own DiTTransformer2DModel, so that its weights have the names of published ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from diffusers.models.transformers.dit_transformer_2d import DiTTransformer2DModel
from torch import Tensor, nn

from mixvel_core.errors import DataError
from mixvel_core.randomness import seeded
from mixvel_networks.initial import keep_config
from mixvel_networks.transformer_size import TransformerSize

_NO_SIZES = ("activation_fn", "attention_bias", "norm_elementwise_affine", "norm_eps", "upcast_attention")
"""Of a configuration of diffusers: what changes no shape, or no sizes of ours say, and yet what is computed."""


class Transformer(nn.Module):
    """DiTTransformer2DModel as a function of points, times and labels: (B, C, S, S), (B,) -> (B, out, S, S).

    One without labels has a single one, which all points share. It computes in its own type, float32 after
    ``make_transformer``; its output has the type of the points.
    """

    def __init__(self, dit: DiTTransformer2DModel, config: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.dit = dit
        keep_config(self, config)

    def forward(self, x: Tensor, t: Tensor, *given: Tensor) -> Tensor:
        """``t`` in [0, 1]; the sinusoidal embedding was made for 0..1000. ``given``: labels, (B,) int64, if any."""
        dtype = next(self.dit.parameters()).dtype
        labels = given[0] if given else torch.zeros(len(x), dtype=torch.int64, device=x.device)
        output: Tensor = self.dit(x.to(dtype), 1000.0 * t, class_labels=labels, return_dict=False)[0]
        return output.to(x.dtype)


class PooledTransformer(nn.Module):
    """The same blocks with the mean of the tokens read by a linear layer: (B, C, S, S), (B,) -> (B, outputs), zero at
    the beginning."""

    def __init__(self, dit: DiTTransformer2DModel, outputs: int, classes: int) -> None:
        super().__init__()
        self.none = classes
        self.pos_embed, self.blocks = dit.pos_embed, dit.transformer_blocks
        width = int(dit.inner_dim)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, outputs)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor, t: Tensor, classes: Tensor | None = None) -> Tensor:
        """(B, outputs) in the type of x, for times in [0, 1] and classes, (B,) int64; None: of none."""
        dtype = self.head.weight.dtype
        labels = torch.full((len(x),), self.none, device=x.device) if classes is None else classes
        tokens = self.pos_embed(x.to(dtype))
        for block in self.blocks:
            tokens = block(tokens, timestep=1000.0 * t, class_labels=labels)
        output: Tensor = self.head(self.norm(tokens.mean(1)))
        return output.to(x.dtype)


def make_transformer(
    size: TransformerSize,
    shape: tuple[int, ...],
    out_channels: int,
    seed: int,
    what: str,
    labels: int | None = None,
    config: Mapping[str, Any] | None = None,
) -> Transformer:
    """A fresh transformer, without dropout of any kind, on the CPU in float32. Its output is zero at the beginning.

    Args:
        size: of it.
        shape: (C, S, S) of its input.
        out_channels: channels of its output, at the same height and width.
        seed: of its initial weights; torch's own generator is left alone.
        what: the plugin, for errors.
        labels: their number; None for a network without labels.
        config: of a DiTTransformer2DModel of diffusers, from which all is taken that is no size; None: its defaults.

    Raises:
        DataError: the configuration is none that diffusers reads.
        RecipeError: images of this shape are no squares of patches.
    """
    size.check_images(shape, what)
    others = {name: config[name] for name in _NO_SIZES if config is not None and name in config}
    try:
        with seeded(seed):
            return Transformer(_made(size, shape, out_channels, labels, others), config)
    # Any exception: the configuration comes from elsewhere.
    except Exception as error:
        if not others:
            raise
        raise DataError(f"{what}: diffusers cannot make this network ({type(error).__name__}: {error})") from None


def make_pooled_transformer(
    size: TransformerSize, shape: tuple[int, ...], outputs: int, seed: int, what: str, classes: int = 0
) -> PooledTransformer:
    """The same with ``outputs`` numbers for each image, of ``classes`` classes or of none."""
    size.check_images(shape, what)
    with seeded(seed):
        return PooledTransformer(_made(size, shape, shape[0], classes + 1), outputs, classes)


def _made(
    size: TransformerSize,
    shape: tuple[int, ...],
    out_channels: int,
    labels: int | None,
    others: Mapping[str, Any] = MappingProxyType({}),
) -> DiTTransformer2DModel:
    settings: dict[str, Any] = {
        "num_attention_heads": size.heads,
        "attention_head_dim": size.width // size.heads,
        "in_channels": shape[0],
        "out_channels": out_channels,
        "num_layers": size.depth,
        "sample_size": shape[1],
        "patch_size": size.patch,
        # Its table has one row more, of no class: the null class is among `labels` where there is one.
        "num_embeds_ada_norm": max(1, (labels or 1) - 1),
        "dropout": 0.0,
    }
    dit = DiTTransformer2DModel(**settings | dict(others))
    for block in dit.transformer_blocks:
        # Conditions are dropped by step and row before they come here, never by torch's own generator.
        block.norm1.emb.class_embedder.dropout_prob = 0.0
        # Blocks that change nothing at first, as in the paper.
        nn.init.zeros_(block.norm1.linear.weight)
        nn.init.zeros_(block.norm1.linear.bias)
    for layer in (dit.proj_out_1, dit.proj_out_2):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    return dit
