"""A U-Net of (x, t) built by diffusers. The only importer of diffusers, which takes seconds: import it late."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor, nn

from mixvel_core.errors import DataError
from mixvel_core.randomness import seeded
from mixvel_networks.architecture import Architecture
from mixvel_networks.initial import keep_config

_NO_SIZES = (
    "act_fn",
    "attention_head_dim",
    "attn_norm_num_groups",
    "center_input_sample",
    "downsample_padding",
    "downsample_type",
    "flip_sin_to_cos",
    "freq_shift",
    "mid_block_scale_factor",
    "norm_eps",
    "norm_num_groups",
    "resnet_time_scale_shift",
    "upsample_type",
)
"""Keys of a configuration that change what is computed, and not how many levels, layers and channels there are."""


class UNet(nn.Module):
    """diffusers' UNet2DModel as a function of points and times: (B, C, H, W), (B,) -> (B, out, H, W).

    One with labels also takes those of the points, (B,) int64, each of which has a vector that is added to the time's;
    one with numbers takes those too, (B, n), of which a linear function is added.

    It computes in its own type, float32 after ``make_unet``; its output has the type of the points. ``config``: of a
    network whose weights it starts with, which goes with them.
    """

    def __init__(
        self, unet: nn.Module, embedding: LabelsAndNumbers | None = None, config: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.unet = unet
        self.embedding = embedding
        keep_config(self, config)

    def forward(self, x: Tensor, t: Tensor, *given: Tensor) -> Tensor:
        """``t`` in [0, 1]; the sinusoidal embedding was made for 0..1000. ``given``: labels, then numbers."""
        dtype = next(self.unet.parameters()).dtype
        labels = self.embedding(*given) if self.embedding is not None else given[0] if given else None
        output: Tensor = self.unet(x.to(dtype), 1000.0 * t, class_labels=labels, return_dict=False)[0]
        return output.to(x.dtype)


class LabelsAndNumbers(nn.Module):
    """The vector of a label, where there are ``labels`` of them, plus a linear function of ``numbers`` numbers.

    It has no constant term: no numbers, the null condition's zeros, add nothing.
    """

    def __init__(self, labels: int | None, numbers: int, width: int) -> None:
        super().__init__()
        self.of_label = None if labels is None else nn.Embedding(labels, width)
        self.of_numbers = nn.Linear(numbers, width, bias=False)

    def forward(self, *given: Tensor) -> Tensor:
        """(B, width), for labels, (B,) int64, if there are any, and numbers, (B, n)."""
        vector: Tensor = self.of_numbers(given[-1].to(self.of_numbers.weight.dtype))
        return vector if self.of_label is None else vector + self.of_label(given[0])


def make_unet(
    architecture: Architecture,
    shape: tuple[int, ...],
    out_channels: int,
    seed: int,
    what: str,
    labels: int | None = None,
    numbers: int = 0,
    config: Mapping[str, Any] | None = None,
) -> UNet:
    """A fresh U-Net, without dropout, on the CPU in float32.

    Args:
        architecture: its size.
        shape: (C, H, W) of its input.
        out_channels: channels of its output, at the same height and width.
        seed: of its initial weights; torch's own generator is left alone.
        what: the plugin, for errors.
        labels: their number; None for a network without labels.
        numbers: how many of a condition it reads besides.
        config: of a UNet2DModel of diffusers, from which all is taken that is no size; None: diffusers' defaults.

    Raises:
        DataError: the configuration is none that diffusers reads.
        RecipeError: height or width cannot be halved as often as there are levels.
    """
    architecture.check(shape, what)
    channels = architecture.channels
    attends = [architecture.attends(level, shape[2]) for level in range(len(channels))]
    settings: dict[str, Any] = {
        "sample_size": shape[1:],
        "in_channels": shape[0],
        "out_channels": out_channels,
        "block_out_channels": channels,
        "layers_per_block": architecture.layers_per_block,
        "down_block_types": tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attends),
        "up_block_types": tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attends)),
        "add_attention": architecture.attention != "none",
        # One head: the channels need not be a multiple of any head size.
        "attention_head_dim": None,
        "norm_num_groups": architecture.groups,
        "dropout": 0.0,
        "num_class_embeds": None if numbers else labels,
        "class_embed_type": "identity" if numbers else None,
    }
    others = {name: config[name] for name in _NO_SIZES if config is not None and name in config}
    try:
        with seeded(seed):
            unet = UNet2DModel(**settings | others)
            # As wide as the vector that diffusers makes of a time.
            embedding = LabelsAndNumbers(labels, numbers, 4 * channels[0]) if numbers else None
    # Any exception: the configuration comes from elsewhere.
    except Exception as error:
        if not others:
            raise
        raise DataError(f"{what}: diffusers cannot make this network ({type(error).__name__}: {error})") from None
    return UNet(unet, embedding, config)
