"""Which networks of diffusers are read, and what their config.json says they read besides points and times."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixvel_core.errors import DataError

UNET, UNET_TEXT, DIT = "UNet2DModel", "UNet2DConditionModel", "DiTTransformer2DModel"
READ = (UNET, UNET_TEXT, DIT)
FOLDERS = ("unet", "transformer")
"""Where pipelines keep the network."""
OWN = "use torch-module with a factory of your own (docs: Foreign experts)"
CODECS = ("Autoencoder", "AsymmetricAutoencoder", "VQ", "ConsistencyDecoder")
_TRANSFORMERS = ("DiT", "Transformer", "PixArt", "UViT")
_OLD_DIT, _DIT_NORM = "Transformer2DModel", "ada_norm_zero"


def network_class(config: Mapping[str, Any], path: Path) -> str:
    """Which of ``READ`` a configuration is of. Raises DataError for any other class, with the way on."""
    name = config.get("_class_name")
    if name == _OLD_DIT and config.get("norm_type", "layer_norm") == _DIT_NORM:
        return DIT  # As the public DiT folders have it, which are older than the class.
    if name in READ:
        return str(name)
    if name is None and "model_type" in config:
        name = f"{config['model_type']} of transformers"
    elif name is None:
        raise DataError(f"{path}: its config.json names no class; is it a folder of diffusers? {OWN}")
    raise DataError(not_read(path, str(name)))


def not_read(path: Path, name: str) -> str:
    """Why a network of another class is not read, and the way on."""
    listed = f"only {', '.join(READ[:-1])} and {READ[-1]} are read"
    if name.startswith(CODECS):
        what, way = "a codec of images and no network of diffusion", "name the folder of the network beside it"
    elif any(part in name for part in _TRANSFORMERS):
        what, way = "another transformer", OWN
    else:
        what, way = "another network", OWN
    return f"{path}: holds {name}, {what}; {listed}; {way}"


def check_inputs(config: Mapping[str, Any], path: Path) -> None:
    """Raises DataError for a network that reads other things than points, times, and a class or a text."""
    name = network_class(config, path)
    for key, read in _ONLY[name].items():
        if (found := config.get(key, read)) != read:
            raise DataError(f"{path}: {key} {found!r} is not read, only {read!r}; {OWN}")
    channels, given = config.get("in_channels", _CHANNELS[name]), config.get("out_channels", _CHANNELS[name])
    if name == DIT and given is None:
        given = channels
    if given not in (channels, 2 * channels if isinstance(channels, int) else None):
        raise DataError(
            f"{path}: in_channels {channels} and out_channels {given}: it takes conditions besides points, or predicts "
            f"something else than these, which is not read; {OWN}"
        )
    if name == DIT and not isinstance(config.get("num_embeds_ada_norm", 1000), int):
        raise DataError(f"{path}: num_embeds_ada_norm is no number of classes; {OWN}")
    if name == UNET_TEXT and not isinstance(text_width(config), int):
        raise DataError(f"{path}: cross_attention_dim differs between its levels, which is not read; {OWN}")


def channels_of(config: Mapping[str, Any]) -> int:
    """C of the points (C, H, W)."""
    return int(config.get("in_channels", _CHANNELS[network_class(config, Path())]))


def size_of(config: Mapping[str, Any]) -> object:
    """H = W, or (H, W); None where it takes any."""
    return config.get("sample_size", 32 if network_class(config, Path()) == DIT else None)


def classes_of(config: Mapping[str, Any]) -> int | None:
    """How many rows its table of classes has, that of no class among them; None without a table."""
    name = network_class(config, Path())
    if name == DIT:
        # diffusers gives the table one row more, for no class.
        return int(config.get("num_embeds_ada_norm", 1000)) + 1
    found = config.get("num_class_embeds") if name == UNET else None
    return None if found is None else int(found)


def null_class_of(config: Mapping[str, Any]) -> int | None:
    """The row that stands for no class, as the class of network has it; None where it has none of its own."""
    return int(config.get("num_embeds_ada_norm", 1000)) if network_class(config, Path()) == DIT else None


def text_width(config: Mapping[str, Any]) -> Any:
    """D of the embeddings of a text, (L, D); None for a network that reads none."""
    if network_class(config, Path()) != UNET_TEXT:
        return None
    found = config.get("cross_attention_dim", 1280)
    same = isinstance(found, list) and len(set(map(str, found))) == 1
    return found[0] if same else found


_CHANNELS = {UNET: 3, UNET_TEXT: 4, DIT: 4}
_ONLY: Mapping[str, Mapping[str, object]] = {
    UNET: {"class_embed_type": None, "time_embedding_type": "positional"},
    UNET_TEXT: {
        "class_embed_type": None,
        "num_class_embeds": None,
        "addition_embed_type": None,
        "encoder_hid_dim": None,
        "encoder_hid_dim_type": None,
        "time_cond_proj_dim": None,
        "time_embedding_type": "positional",
        "attention_type": "default",
    },
    DIT: {"norm_type": _DIT_NORM},
}
"""Keys at which a network would read what is not given, by the value at which it does not."""
