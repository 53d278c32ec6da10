"""A U-Net that reads tokens by cross-attention, built by diffusers. It imports diffusers: import it late."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from mixvel_core.errors import DataError
from mixvel_core.randomness import seeded
from mixvel_networks.architecture import Architecture
from mixvel_networks.initial import keep_config
from mixvel_networks.inputs import NetworkInputs

_NO_SIZES = (
    "act_fn",
    "attention_head_dim",
    "center_input_sample",
    "downsample_padding",
    "flip_sin_to_cos",
    "freq_shift",
    "mid_block_scale_factor",
    "norm_eps",
    "norm_num_groups",
    "num_attention_heads",
    "resnet_time_scale_shift",
    "use_linear_projection",
)
"""Keys of a configuration that change what is computed, and not how many levels, layers and channels there are."""


class TokenUNet(nn.Module):
    """diffusers' UNet2DConditionModel as a function of points, times, labels if there are any, and tokens:
    (B, C, H, W), (B,), (B,) int64, (B, L, D) -> (B, out, H, W).

    It computes in its own type; its output has the type of the points. ``config``: of a network whose weights it starts
    with, which goes with them.
    """

    def __init__(self, unet: nn.Module, config: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.unet = unet
        keep_config(self, config)

    def forward(self, x: Tensor, t: Tensor, *given: Tensor) -> Tensor:
        """``t`` in [0, 1]; the sinusoidal embedding was made for 0..1000. ``given``: labels, if any, then tokens."""
        dtype = next(self.unet.parameters()).dtype
        labels = given[0] if len(given) > 1 else None
        output: Tensor = self.unet(
            x.to(dtype),
            1000.0 * t,
            encoder_hidden_states=given[-1].to(dtype),
            class_labels=labels,
            return_dict=False,
        )[0]
        return output.to(x.dtype)


def make_token_unet(
    architecture: Architecture,
    shape: tuple[int, ...],
    inputs: NetworkInputs,
    seed: int,
    what: str,
    config: Mapping[str, Any] | None = None,
) -> TokenUNet:
    """A fresh U-Net, without dropout, on the CPU in float32.

    Args:
        architecture: its size; levels with self-attention have cross-attention too.
        shape: (C, H, W) of its input and output.
        inputs: what it reads; tokens among it.
        seed: of its initial weights; torch's own generator is left alone.
        what: the plugin, for errors.
        config: of a UNet2DConditionModel of diffusers, from which all is taken that is no size; None: its defaults.

    Raises:
        DataError: the configuration is none that diffusers reads.
        RecipeError: the images do not fit, or there are no tokens.
    """
    architecture.check(shape, what)
    tokens = inputs.tokens
    channels = architecture.channels
    attends = [architecture.attends(level, shape[2]) for level in range(len(channels))]
    settings: dict[str, Any] = {
        "sample_size": shape[1],
        "in_channels": shape[0],
        "out_channels": shape[0],
        "block_out_channels": channels,
        "layers_per_block": architecture.layers_per_block,
        "down_block_types": tuple("CrossAttnDownBlock2D" if here else "DownBlock2D" for here in attends),
        "up_block_types": tuple("CrossAttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attends)),
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "cross_attention_dim": None if tokens is None else tokens[1],
        # diffusers' own number of heads by this, misnamed, key.
        "attention_head_dim": 1,
        "norm_num_groups": architecture.groups,
        "dropout": 0.0,
        "num_class_embeds": inputs.labels,
    }
    others = {name: config[name] for name in _NO_SIZES if config is not None and name in config}
    try:
        with seeded(seed):
            unet = UNet2DConditionModel(**settings | others)
    # Any exception: the configuration comes from elsewhere.
    except Exception as error:
        if not others:
            raise
        raise DataError(f"{what}: diffusers cannot make this network ({type(error).__name__}: {error})") from None
    return TokenUNet(unet, config)
