"""Adapters in files from elsewhere: PEFT's layout, diffusers', and experts of a run. safetensors only.

PEFT writes adapter_config.json and adapter_model.safetensors, diffusers pytorch_lora_weights.safetensors, whose names
begin with those of its pipeline's parts (`unet.`, `transformer.`). Rank and alpha are in the configuration, in the
file's metadata or in tensors `NAME.alpha`; where nothing is said alpha is the rank, as diffusers has it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen
from torch import Tensor

from mixvel_core.artifacts.tensors import read_tensors
from mixvel_core.errors import AbsentError, DataError
from mixvel_lora.adapter import Adapter, LowRank, adapter_of
from mixvel_networks.checked_weights import read_all
from mixvel_networks.weight_files import files_in, model_files, read_json_of

PEFT_CONFIG, PEFT_WEIGHTS = "adapter_config.json", "adapter_model"
DIFFUSERS = "pytorch_lora_weights"
_METADATA = "lora_adapter_metadata"
_PEFT = "base_model.model."
"""What PEFT's names begin with before that of a layer."""
_DOWN = (".lora_A.weight", ".lora.down.weight", ".lora_down.weight", ".lora_A.default.weight")
_UP = (".lora_B.weight", ".lora.up.weight", ".lora_up.weight", ".lora_B.default.weight")
_ALPHA = ".alpha"
_UNREAD = ("use_dora", "fan_in_fan_out", "lora_bias", "modules_to_save", "layer_replication", "trainable_token_indices")
"""Of PEFT's configuration: what makes another change than s B A of single layers."""
_SHOWN = 3
_CONVERT = (
    "import torch, safetensors.torch as s; s.save_file(torch.load('adapter_model.bin', map_location='cpu'), "
    "'adapter_model.safetensors')"
)


@frozen(kw_only=True)
class RankAndAlpha:
    """What a configuration says of the adapter of each layer: ``rank`` and ``alpha``, and those of layers whose names
    match a pattern. ``by_root``: whether s = alpha / sqrt(r)."""

    rank: int | None = None
    alpha: float | None = None
    rank_pattern: Mapping[str, Any] = {}
    alpha_pattern: Mapping[str, Any] = {}
    by_root: bool = False

    def check_rank(self, name: str, found: int, where: Path) -> None:
        """Raises DataError where ``found``, the rank of layer ``name``, is not the one that is stated."""
        stated = _of_pattern(self.rank_pattern, name, self.rank)
        if stated is not None and int(stated) != found:
            raise DataError(f"{where}: {name} has rank {found}, and its configuration says {stated}; download it again")

    def alpha_of(self, name: str, rank: int) -> float:
        """alpha of layer ``name``, such that s = alpha / r."""
        alpha = float(_of_pattern(self.alpha_pattern, name, rank if self.alpha is None else self.alpha))
        return alpha * math.sqrt(rank) if self.by_root else alpha


def read_adapter(place: Path) -> Adapter:
    """The adapter in a folder, or in one safetensors file.

    Raises:
        AbsentError: there is none, or a pickle, which is not read.
        DataError: it is damaged, or of a kind that is no LoRA of linear layers and convolutions.
        ArtifactError: it is a damaged expert of a run.
    """
    if place.is_dir() and (place / "config.json").is_file() and (place / "model.safetensors").is_file():
        expert = read_json_of(place / "config.json").get("expert")
        if not isinstance(expert, dict) or expert.get("use") != "lora":
            raise DataError(f"{place}: an expert that is no adapter; name one that expert lora made")
        return adapter_of(read_tensors(place / "model.safetensors"), str(place))
    if (place / PEFT_CONFIG).is_file():
        [file] = _only(model_files(place, PEFT_WEIGHTS, f'python -c "{_CONVERT}"'), place)
        return _parsed(read_all(file)[0], _of_peft(read_json_of(place / PEFT_CONFIG), place), place)
    if (place / f"{DIFFUSERS}.safetensors").is_file():
        place = place / f"{DIFFUSERS}.safetensors"
    if (place / f"{PEFT_WEIGHTS}.safetensors").is_file():
        raise AbsentError(f"{place / PEFT_CONFIG}: no such file; download the whole folder: it says rank and alpha")
    [file] = _only(files_in(place), place)
    tensors, metadata = read_all(file)
    return _parsed(tensors, _of_metadata(metadata, file), place)


def _only(files: Sequence[Path], place: Path) -> Sequence[Path]:
    if len(files) != 1:
        raise DataError(f"{place}: {len(files)} safetensors files; name the one that is the adapter")
    return files


def _parsed(tensors: Mapping[str, Tensor], stated: RankAndAlpha, where: Path) -> Adapter:
    downs, ups = _ending(tensors, _DOWN), _ending(tensors, _UP)
    alphas = _ending(tensors, (_ALPHA,))
    known = {*downs.values(), *ups.values(), *alphas.values()}
    extra = sorted(name for name in tensors if name not in known)
    lone = sorted(f"{name} without its other half" for name in downs.keys() ^ ups.keys())
    listed = [*(f"lacks {_some(lone)}" for _ in lone[:1]), *(f"holds {_some(extra)}" for _ in extra[:1])]
    if listed or not downs:
        what = "; ".join(listed) or "holds no lora_A and lora_B"
        raise DataError(f"{where}: {what}; only LoRA of linear layers and convolutions is read")
    layers = {}
    for name, own in sorted(downs.items()):
        A, B = tensors[own].float(), tensors[ups[name]].float()
        if A.ndim < 2 or B.ndim < 2 or B.shape[1] != len(A) or any(size != 1 for size in B.shape[2:]):
            shapes = f"A of shape {tuple(A.shape)} and B of {tuple(B.shape)}"
            raise DataError(f"{where}: {name} has {shapes}, which are of no one rank; download it again")
        stated.check_rank(name, len(A), where)
        alpha = stated.alpha_of(name, len(A))
        if name in alphas:
            alpha = float(tensors[alphas[name]].float().reshape(-1)[0])
        if not math.isfinite(alpha):
            raise DataError(f"{where}: {name} has alpha {alpha}; download it again")
        layers[name] = LowRank(A=A, B=B, alpha=alpha)
    return Adapter(layers=layers)


def _ending(tensors: Mapping[str, Tensor], ends: Sequence[str]) -> dict[str, str]:
    """The tensors whose names have one of these ends, by the layer's name: without what stands before and behind it."""
    found = {}
    for own in tensors:
        end = next((one for one in ends if own.endswith(one)), None)
        if end is not None:
            found[own.removesuffix(end).removeprefix(_PEFT)] = own
    return found


def _of_peft(config: Mapping[str, Any], where: Path) -> RankAndAlpha:
    kind = config.get("peft_type", "LORA")
    if kind != "LORA":
        raise DataError(f"{where}: an adapter of the kind {kind}; only LORA is read")
    for name in _UNREAD:
        if config.get(name):
            raise DataError(
                f"{where}: its configuration has {name}, which is not read; merge it into its base with PEFT"
            )
    if config.get("bias", "none") != "none":
        raise DataError(f"{where}: it changes biases ({config['bias']}), which is not read; merge it with PEFT")
    return _stated(config, where)


def _stated(config: Mapping[str, Any], where: Path) -> RankAndAlpha:
    for name in ("rank_pattern", "alpha_pattern"):
        if bad := next((one for one in config.get(name) or {} if set(one) & set("*+?[](){}|\\$")), None):
            raise DataError(f"{where}: {name} has {bad!r}, and only names are read; merge it into its base with PEFT")
    try:
        return RankAndAlpha(
            rank=None if config.get("r") is None else int(config["r"]),
            alpha=None if config.get("lora_alpha") is None else float(config["lora_alpha"]),
            rank_pattern=dict(config.get("rank_pattern") or {}),
            alpha_pattern=dict(config.get("alpha_pattern") or {}),
            by_root=bool(config.get("use_rslora")),
        )
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: its rank and alpha cannot be read ({error}); download it again") from None


def _of_metadata(metadata: Mapping[str, str], where: Path) -> RankAndAlpha:
    """What diffusers writes into the header of the file, below the name of the pipeline's part."""
    if _METADATA not in metadata:
        return RankAndAlpha()
    try:
        found = dict(json.loads(metadata[_METADATA]))
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{where}: its metadata cannot be read ({error}); download it again") from None
    plain = {name.removeprefix("unet.").removeprefix("transformer."): value for name, value in found.items()}
    return _of_peft(plain, where)


def _of_pattern(patterns: Mapping[str, Any], name: str, otherwise: Any) -> Any:
    """The value of the first pattern that a layer's name matches, as PEFT does it: at its end, behind a dot."""
    for pattern, value in patterns.items():
        if name == pattern.removeprefix("^") or name.endswith(f".{pattern}"):
            return value
    return otherwise


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
