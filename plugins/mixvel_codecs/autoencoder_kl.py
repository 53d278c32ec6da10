"""An AutoencoderKL of diffusers as a codec: z = (h - shift) s with h the mode, or a sample, of its posterior.

Scale s and shift are those of its configuration: ``scaling_factor`` and ``shift_factor``, or a mean and a standard
deviation for each channel (``latents_mean``, ``latents_std``), as diffusers' pipelines read them. diffusers takes
seconds to import: import this late.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor, nn

from mixvel_codecs.hooks import AutoencoderKLOptions
from mixvel_core.artifacts.tensors import loaded
from mixvel_core.errors import AbsentError, ArtifactError, DataError, RecipeError
from mixvel_core.protocols import Items
from mixvel_core.randomness import key, normal
from mixvel_networks.checked_weights import read_checked
from mixvel_networks.denoiser import for_use, network_weights, weight_tensors
from mixvel_networks.weight_files import model_files, read_json_of, todays_name

WHAT = "codec autoencoder-kl"
STEM = "diffusion_pytorch_model"
_CONFIG, _SEED = "config", "seed"


@frozen(kw_only=True, eq=False)
class AutoencoderKLCodec:
    """``network``: diffusers' own. ``shift``, ``scale``: (C, 1, 1). ``seed``: of samples; None: the mode."""

    data_shape: tuple[int, ...]
    latent_shape: tuple[int, ...]
    network: Any
    shift: Tensor
    scale: Tensor
    seed: int | None

    @torch.no_grad()
    def encode(self, x: Tensor, rows: Tensor | None = None) -> Tensor:
        """(mode - shift) s of images x, (B, C, H, W); a sample in place of the mode where that was chosen, whose noise
        is a function of the seed and of ``rows``."""
        posterior = self.network.encode(x.to(self.shift.dtype)).latent_dist
        h: Tensor = posterior.mode()
        if self.seed is not None and rows is not None:
            h = h + posterior.std * normal(key(self.seed, "codec"), rows, self.latent_shape, h.dtype)
        return ((h - self.shift) * self.scale).to(x.dtype)

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """The images of latents z, (B, *data)."""
        x: Tensor = self.network.decode(z.to(self.shift.dtype) / self.scale + self.shift, return_dict=False)[0]
        return x.to(z.dtype)


@frozen(kw_only=True)
class AutoencoderKLFamily(AutoencoderKLOptions):
    """The autoencoder of a folder; the run keeps its own copy."""

    def tensors(self, items: Items, seed: int) -> Mapping[str, Tensor]:
        """The weights as ``network.*``, its configuration as ``config``, and ``seed``. Reads no item.

        Raises DataError where the folder is absent or of another class, RecipeError where it takes other images.
        """
        folder, config = self._opened()
        _latent_shape(config, tuple(items.shape[1:]), str(folder))
        # On the meta device it takes no memory: only names and shapes are read off, before the weights are read.
        with torch.device("meta"):
            expected = _network(config, str(folder)).state_dict()
        convert = (
            'python -c "from diffusers import AutoencoderKL; '
            f"AutoencoderKL.from_pretrained('{folder}').save_pretrained('{folder}')\""
        )
        weights = read_checked(model_files(folder, STEM, convert, self.variant), expected, todays_name)
        about = json.dumps(config, sort_keys=True).encode()
        own = {_CONFIG: torch.frombuffer(bytearray(about), dtype=torch.uint8), _SEED: torch.tensor(seed)}
        return weight_tensors(weights) | own

    def data_shape(self, latent: tuple[int, ...]) -> tuple[int, ...]:
        """That of the images that the folder's network makes of such latents. Raises RecipeError where it takes others,
        DataError where the folder is absent or of another class."""
        folder, config = self._opened()
        channels, factor = int(config.get("latent_channels", 4)), _factor(config)
        if len(latent) != 3 or latent[0] != channels:
            found = " x ".join(map(str, latent))
            raise RecipeError(f"{WHAT}: {folder} is for latents of {channels} channels, the experts' are {found}")
        return (int(config.get("in_channels", 3)), *(side * factor for side in latent[1:]))

    def _opened(self) -> tuple[Path, dict[str, Any]]:
        """The folder of the autoencoder and its configuration."""
        folder = _folder(self.path)
        config = read_json_of(folder / "config.json")
        if config.get("_class_name") != "AutoencoderKL":
            name = config.get("_class_name", "no class")
            raise DataError(f"{WHAT}: {folder} holds {name}; name a folder whose config.json says AutoencoderKL")
        return folder, config

    def load(self, tensors: Mapping[str, Tensor], shape: tuple[int, ...]) -> AutoencoderKLCodec:
        """The codec, on the device of ``tensors``. Raises ArtifactError where they are damaged, RecipeError where it
        takes other images than those of ``shape``."""
        try:
            config = dict(json.loads(bytes(tensors[_CONFIG].cpu().tolist())))
            seed = int(tensors[_SEED])
        except (KeyError, ValueError, TypeError, RecursionError) as error:
            raise ArtifactError(f"{WHAT}: its configuration is damaged ({error}); run the recipe again") from None
        latent_shape = _latent_shape(config, shape, WHAT)
        network = loaded(partial(_network, config, WHAT), network_weights(tensors), WHAT)
        device = tensors[_CONFIG].device
        shift, scale = _affine(config, latent_shape[0])
        return AutoencoderKLCodec(
            data_shape=tuple(shape),
            latent_shape=latent_shape,
            network=for_use(network, device),
            shift=shift.to(device)[:, None, None],
            scale=scale.to(device)[:, None, None],
            seed=seed if self.posterior == "sample" else None,
        )


def _folder(path: Path) -> Path:
    """The folder of the autoencoder itself. Raises AbsentError where there is none."""
    if not path.is_dir():
        raise AbsentError(
            f"{WHAT}: {path}: no such folder; download one with `hf download OWNER/NAME --local-dir {path}`, or save "
            "yours with save_pretrained"
        )
    folder = path / "vae" if (path / "vae").is_dir() else path
    if not (folder / "config.json").is_file():
        raise AbsentError(f"{WHAT}: {folder / 'config.json'}: no such file; download the whole folder")
    return folder


def _network(config: Mapping[str, Any], where: str) -> nn.Module:
    """The network on torch's current default device. Raises DataError where diffusers cannot make it."""
    try:
        network: nn.Module = AutoencoderKL.from_config(dict(config))
    # Any exception: the configuration comes from elsewhere.
    except Exception as error:
        raise DataError(f"{where}: diffusers cannot make this network ({type(error).__name__}: {error})") from None
    return network


def _factor(config: Mapping[str, Any]) -> int:
    """By how much sides of latents are shorter than those of images."""
    return int(2 ** (len(config.get("block_out_channels", [64])) - 1))


def _latent_shape(config: Mapping[str, Any], shape: tuple[int, ...], where: str) -> tuple[int, ...]:
    """Of images of ``shape``. Raises RecipeError where the network takes others."""
    channels, factor = int(config.get("in_channels", 3)), _factor(config)
    if len(shape) != 3 or shape[0] != channels:
        found = " x ".join(map(str, shape))
        raise RecipeError(f"{WHAT}: {where} is for images of {channels} channels, the data are {found}; name another")
    if any(side % factor for side in shape[1:]):
        raise RecipeError(
            f"{WHAT}: {where} halves images {factor.bit_length() - 1} times, and these have {shape[1]} x {shape[2]} "
            f"pixels; give sides that are multiples of {factor}"
        )
    return (int(config.get("latent_channels", 4)), *(side // factor for side in shape[1:]))


def _affine(config: Mapping[str, Any], channels: int) -> tuple[Tensor, Tensor]:
    """Shift and scale of each channel, (C,) float32."""
    factor = torch.full((channels,), float(config.get("scaling_factor", 0.18215)))
    mean, deviation = config.get("latents_mean"), config.get("latents_std")
    if mean is not None and deviation is not None:
        return torch.tensor(mean, dtype=torch.float32), factor / torch.tensor(deviation, dtype=torch.float32)
    return torch.full((channels,), float(config.get("shift_factor") or 0.0)), factor
