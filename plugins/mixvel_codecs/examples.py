"""A tiny stand-in for what others bring: an autoencoder of random weights, as diffusers lays it out."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from mixvel_core.randomness import seeded


@cache
def autoencoder_folder() -> Path:
    """The folder of a random AutoencoderKL for one channel, whose latents are half as wide; gone with the process."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    folder = Path(tempfile.mkdtemp(prefix="mixvel-example-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with seeded(0):
        network = AutoencoderKL(
            in_channels=1,
            out_channels=1,
            down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
            up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
            block_out_channels=(4, 8),
            latent_channels=2,
            norm_num_groups=4,
            scaling_factor=0.5,
        )
    network.save_pretrained(folder)
    return folder
