"""Tiny stand-ins for what others bring: networks to import, and folders as diffusers and Paris lay them out."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import torch
from attrs import frozen
from safetensors.torch import save_file
from torch import Tensor, nn

_EXPERTS = 3


class Shrink(nn.Module):
    """The denoiser of standard normal data under a variance preserving schedule, for any shape."""

    def __init__(self, strength: float = 1.0) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.tensor(strength))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """x, less the later it is."""
        left = (1.0 - t).reshape(-1, *(1,) * (x.ndim - 1))
        return self.strength * left * x


class Logits(nn.Module):
    """A router of as many experts as ``bias`` has entries: logits that do not look at x."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(_EXPERTS))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """The logits, (B, K)."""
        return self.bias.expand(len(x), -1)


@frozen(kw_only=True)
class _Answer:
    mean: Tensor


class Denoiser(nn.Module):
    """A denoiser as azula has them: a schedule t -> (alpha, sigma), and a distribution for an answer."""

    def schedule(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Alpha and sigma of a variance exploding path."""
        return torch.ones_like(t), 1e-3 * (1e6**t)

    def forward(self, x: Tensor, t: Tensor) -> _Answer:
        """The posterior of standard normal data."""
        variance = (self.schedule(t)[1] ** 2).reshape(-1, *(1,) * (x.ndim - 1))
        return _Answer(mean=x / (1.0 + variance))


@cache
def diffusers_folder() -> Path:
    """A pipeline folder with a random network for one channel, gone with the process."""
    from mixvel_foreign.networks import make_network

    config = {
        "_class_name": "UNet2DModel",
        "in_channels": 1,
        "out_channels": 1,
        "block_out_channels": [4, 8],
        "down_block_types": ["DownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "UpBlock2D"],
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "add_attention": False,
    }
    scheduler = {"_class_name": "DDIMScheduler", "num_train_timesteps": 1000, "clip_sample": False}
    folder = _temporary()
    for name, value in (("unet/config.json", config), ("scheduler/scheduler_config.json", scheduler)):
        (folder / name).parent.mkdir()
        (folder / name).write_text(json.dumps(value), encoding="utf-8")
    save_file(make_network(config, "example").state_dict(), folder / "unet" / "diffusion_pytorch_model.safetensors")
    return folder


@cache
def paris_folder() -> Path:
    """expert_0/, ... and router/ of ``Shrink`` and ``Logits``, gone with the process."""
    folder = _temporary()
    parts: dict[str, nn.Module] = {f"expert_{k}": Shrink(1.0 - 0.1 * k) for k in range(_EXPERTS)}
    for name, network in (parts | {"router": Logits()}).items():
        (folder / name).mkdir()
        save_file(network.state_dict(), folder / name / "model.safetensors")
    return folder


def _temporary() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="mixvel-example-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
