"""Files of weights from elsewhere: where they are, and what lies in their place. Nothing here imports torch.

Only safetensors are read. A .bin is a pickle, and a pickle is a program. torch's restricted unpickler has had holes;
whether to run one is left to its owner, and the error names the line that converts it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mixvel_core.errors import AbsentError, DataError

_PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".tar")


def read_json_of(path: Path) -> dict[str, Any]:
    """The object in a JSON file from elsewhere. Raises DataError where it is absent or holds no object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AbsentError(f"{path}: no such file; download the whole folder, or name the right one") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error}); download it again") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: holds no JSON object; download it again")
    return found


def model_files(folder: Path, stem: str, convert: str, variant: str | None = None) -> list[Path]:
    """The safetensors files of a model that is called ``stem``: one, or the parts that its index names.

    ``convert``: what to do about weights that are there as a pickle only. ``variant``: as in the files' names. Raises
    DataError where there are none.
    """
    kind = "" if variant is None else f".{variant}"
    one, index = folder / f"{stem}{kind}.safetensors", folder / f"{stem}.safetensors.index{kind}.json"
    if one.is_file():
        return [one]
    if index.is_file():
        names = read_json_of(index).get("weight_map")
        if not isinstance(names, dict) or not names:
            raise DataError(f"{index}: names no files; download it again")
        parts = sorted({str(name) for name in names.values()})
        for name in parts:
            # The names come from elsewhere too: they may lead to files beside the index only.
            if Path(name).name != name or not name.endswith(".safetensors"):
                raise DataError(f"{index}: {name!r} is not the name of a safetensors file in its folder")
        return [folder / name for name in parts]
    others = sorted({path.name.removeprefix(f"{stem}.").split(".")[0] for path in folder.glob(f"{stem}.*.safetensors")})
    if others and variant not in others:
        raise AbsentError(
            f"{folder}: holds no {one.name}, but a variant of the weights, {', '.join(others)}; set `variant: "
            f"{others[0]}` to take it"
        )
    if (folder / f"{stem}{kind}.bin").is_file():
        raise AbsentError(f"{folder}: holds its weights as a pickle, which is not read; if you trust it: {convert}")
    raise AbsentError(f"{folder}: holds no {one.name}; download the whole folder, or name the right one")


def files_in(place: Path) -> list[Path]:
    """A safetensors file, or all of a folder. Raises DataError where there is none."""
    if place.is_file() and place.suffix in _PICKLES:
        raise AbsentError(_pickled(place))
    files = [place] if place.is_file() else sorted(place.glob("*.safetensors"))
    if not files:
        if not place.exists():
            raise AbsentError(f"{place}: no such file or folder; put the weights there, or name the right place")
        if pickles := sorted(path for path in place.iterdir() if path.suffix in _PICKLES):
            raise AbsentError(_pickled(pickles[0]))
        raise AbsentError(f"{place}: no safetensors file there; convert the weights with safetensors.torch.save_file")
    return files


def _pickled(path: Path) -> str:
    convert = (
        f"import torch, safetensors.torch as s; s.save_file(torch.load('{path}', map_location='cpu'), "
        f"'{path.with_suffix('.safetensors')}')"
    )
    return f'{path}: a pickle, which is not read; if you trust it and it is a state dict: python -c "{convert}"'


_RENAMED = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Attention as diffusers called it until 0.12, the year of the public DDPM folders."""


def todays_name(name: str) -> str:
    """A parameter's name in today's diffusers."""
    parts = name.split(".")
    if "attentions" in parts and len(parts) > 1 and parts[-2] in _RENAMED:
        return ".".join([*parts[:-2], _RENAMED[parts[-2]], parts[-1]])
    return name


def variant_of(folder: Path, stem: str) -> str | None:
    """The one variant that all weights of the model ``stem`` are of, as fp16; None where there are others, or none."""
    if (folder / f"{stem}.safetensors").is_file() or (folder / f"{stem}.safetensors.index.json").is_file():
        return None
    parts = {path.name.removeprefix(f"{stem}.").split(".")[0] for path in folder.glob(f"{stem}.*.safetensors")}
    return parts.pop() if len(parts) == 1 else None
