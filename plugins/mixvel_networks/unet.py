"""A U-Net of (x, t) built by diffusers. The only importer of diffusers, which takes seconds: import it late."""

from __future__ import annotations

from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor, nn

from mixvel_core.randomness import seeded
from mixvel_networks.architecture import Architecture


class UNet(nn.Module):
    """diffusers' UNet2DModel as a function of points and times: (B, C, H, W), (B,) -> (B, out, H, W).

    One with labels also takes those of the points, (B,) int64, each of which has a vector that is added to the time's.

    It computes in its own type, float32 after ``make_unet``; its output has the type of the points.
    """

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, x: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """``t`` in [0, 1]; the sinusoidal embedding was made for 0..1000."""
        dtype = next(self.unet.parameters()).dtype
        output: Tensor = self.unet(x.to(dtype), 1000.0 * t, class_labels=labels, return_dict=False)[0]
        return output.to(x.dtype)


def make_unet(
    architecture: Architecture,
    shape: tuple[int, ...],
    out_channels: int,
    seed: int,
    what: str,
    labels: int | None = None,
) -> UNet:
    """A fresh U-Net, without dropout, on the CPU in float32.

    Args:
        architecture: its size.
        shape: (C, H, W) of its input.
        out_channels: channels of its output, at the same height and width.
        seed: of its initial weights; torch's own generator is left alone.
        what: the plugin, for errors.
        labels: their number; None for a network without labels.

    Raises:
        RecipeError: height or width cannot be halved as often as there are levels.
    """
    architecture.check(shape, what)
    channels = architecture.channels
    attends = [architecture.attends(level, shape[2]) for level in range(len(channels))]
    with seeded(seed):
        unet = UNet2DModel(
            sample_size=shape[1:],
            in_channels=shape[0],
            out_channels=out_channels,
            block_out_channels=channels,
            layers_per_block=architecture.layers_per_block,
            down_block_types=tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attends),
            up_block_types=tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attends)),
            add_attention=architecture.attention != "none",
            # One head: the channels need not be a multiple of any head size.
            attention_head_dim=None,
            norm_num_groups=architecture.groups,
            dropout=0.0,
            num_class_embeds=labels,
        )
    return UNet(unet)
