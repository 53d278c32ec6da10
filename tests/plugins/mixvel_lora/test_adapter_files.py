"""Adapters in files: PEFT's layout and diffusers' by hand, what is refused in one line, and experts of a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from adapters import UNetBase, random_adapter, small_unet
from attrs import evolve
from safetensors.torch import save_file
from torch import Tensor

from mixvel_core.artifacts.files import write_json
from mixvel_core.artifacts.tensors import write_checksummed
from mixvel_core.errors import MixvelError
from mixvel_lora.adapter import Adapter, digest_of_weights, fitted
from mixvel_lora.adapter_files import read_adapter
from mixvel_lora.family import LoraFamily

ADAPTER = random_adapter(1, rank=3, alpha=6.0)
LAYER = "unet.conv_in"


B = "base_model.model.conv_in.lora_B.weight"


def state(
    adapter: Adapter, start: str = "base_model.model.", ends: tuple[str, str] = ("lora_A", "lora_B")
) -> dict[str, Tensor]:
    """Names as in a file, without those of our own wrapper of the network."""
    found: dict[str, Tensor] = {}
    for name, one in adapter.layers.items():
        inner = start + name.removeprefix("unet.")
        found |= {f"{inner}.{ends[0]}.weight": one.A, f"{inner}.{ends[1]}.weight": one.B}
    return found


def peft(folder: Path, tensors: dict[str, Tensor] | None = None, **changes: object) -> Path:
    folder.mkdir(exist_ok=True)
    save_file(state(ADAPTER) if tensors is None else tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 3, "lora_alpha": 6, "target_modules": ["conv_in"], "bias": "none"} | changes
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def same(found: Adapter, wanted: Adapter) -> bool:
    fit = fitted(found, small_unet(), "test", "base")
    return fit.layers.keys() == wanted.layers.keys() and all(
        torch.equal(one.A, wanted.layers[name].A)
        and torch.equal(one.B, wanted.layers[name].B)
        and one.scale == wanted.layers[name].scale
        for name, one in fit.layers.items()
    )


def test_pefts_layout_with_rank_and_alpha(tmp_path: Path) -> None:
    assert same(read_adapter(peft(tmp_path / "a")), ADAPTER)
    half = evolve(ADAPTER, layers={name: evolve(one, alpha=3.0) for name, one in ADAPTER.layers.items()})
    assert same(read_adapter(peft(tmp_path / "b", lora_alpha=3)), half)
    by_root = read_adapter(peft(tmp_path / "c", use_rslora=True))
    assert next(iter(by_root.layers.values())).scale == pytest.approx(6.0 / 3**0.5)
    patterns = read_adapter(peft(tmp_path / "d", alpha_pattern={"conv_in": 12}))
    assert {name: one.alpha for name, one in patterns.layers.items() if one.alpha != 6.0} == {"conv_in": 12.0}


def test_diffusers_layouts_alpha_is_the_rank_or_stated(tmp_path: Path) -> None:
    plain = evolve(ADAPTER, layers={name: evolve(one, alpha=3.0) for name, one in ADAPTER.layers.items()})
    save_file(state(ADAPTER, "unet."), tmp_path / "pytorch_lora_weights.safetensors")
    assert same(read_adapter(tmp_path), plain)
    assert same(read_adapter(tmp_path / "pytorch_lora_weights.safetensors"), plain)
    said = {"lora_adapter_metadata": json.dumps({"unet.r": 3, "unet.lora_alpha": 6})}
    save_file(state(ADAPTER, "unet."), tmp_path / "stated.safetensors", metadata=said)
    assert same(read_adapter(tmp_path / "stated.safetensors"), ADAPTER)
    old = state(ADAPTER, "unet.", ("lora.down", "lora.up"))
    old |= {f"unet.{name.removeprefix('unet.')}.alpha": torch.tensor(6.0) for name in ADAPTER.layers}
    save_file(old, tmp_path / "old.safetensors")
    assert same(read_adapter(tmp_path / "old.safetensors"), ADAPTER)


def test_an_expert_of_a_run_and_its_base(tmp_path: Path) -> None:
    base = digest_of_weights(small_unet())
    write_checksummed(tmp_path / "model.safetensors", evolve(ADAPTER, base=base).tensors(), {"expert": "lora"})
    write_json(tmp_path / "config.json", {"expert": {"use": "lora"}})
    found = read_adapter(tmp_path)
    assert found.base == base
    assert same(evolve(found, base=None), ADAPTER)
    with pytest.raises(MixvelError, match="an adapter of another base") as raised:
        fitted(found, small_unet(labels=2), str(tmp_path), digest_of_weights(small_unet(labels=2)))
    assert "\n" not in str(raised.value)


def without(name: str) -> dict[str, Tensor]:
    return {own: value for own, value in state(ADAPTER).items() if own != name}


def of_rank(rank: int) -> dict[str, Tensor]:
    return state(random_adapter(1, rank=rank))


def other_expert(folder: Path) -> None:
    write_json(folder / "config.json", {"expert": {"use": "unet"}})
    (folder / "model.safetensors").touch()


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "half of it missing": (
        lambda p: peft(p, without(B)),
        "lacks conv_in without its other half",
    ),
    "more than an adapter": (
        lambda p: peft(p, state(ADAPTER) | {"base_model.model.conv_in.lora_magnitude_vector": torch.ones(8)}),
        "holds base_model.model.conv_in.lora_magnitude_vector; only LoRA",
    ),
    "another rank": (lambda p: peft(p, of_rank(2)), "has rank 2, and its configuration says 3"),
    "two ranks in a layer": (
        lambda p: peft(p, state(ADAPTER) | {B: torch.ones(8, 4, 1, 1)}),
        r"conv_in has A of shape \(3, 1, 3, 3\) and B of \(8, 4, 1, 1\)",
    ),
    "another kind": (lambda p: peft(p, peft_type="IA3"), "of the kind IA3; only LORA"),
    "with DoRA": (lambda p: peft(p, use_dora=True), "has use_dora, which is not read"),
    "with biases": (lambda p: peft(p, bias="all"), "changes biases"),
    "a pattern": (lambda p: peft(p, alpha_pattern={".*conv": 3}), r"alpha_pattern has '.\*conv', and only names"),
    "no numbers": (lambda p: peft(p, r="four"), "rank and alpha cannot be read"),
    "not finite": (
        lambda p: peft(p, state(ADAPTER) | {B: torch.full((8, 3, 1, 1), torch.nan)}),
        "conv_in.lora_B.weight is not finite",
    ),
    "no configuration": (lambda p: (peft(p) / "adapter_config.json").unlink(), "adapter_config.json: no such file"),
    "a pickle": (
        lambda p: (peft(p) / "adapter_model.safetensors").rename(p / "adapter_model.bin"),
        "as a pickle, which is not read; if you trust it",
    ),
    "nothing": (lambda p: p.mkdir(), "no safetensors file there"),
    "not there": (lambda p: None, "no such file or folder"),
    "cut short": (
        lambda p: (peft(p) / "adapter_model.safetensors").write_bytes(b"12345"),
        "cannot be read as safetensors",
    ),
    "an expert of another kind": (other_expert, "an expert that is no adapter"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_adapter_is_refused_in_one_line(tmp_path: Path, what: str) -> None:
    make, message = WRONG[what]
    make(tmp_path / "adapter")
    with pytest.raises(MixvelError, match=message) as raised:
        read_adapter(tmp_path / "adapter")
    assert "\n" not in str(raised.value)
    assert str(tmp_path) in str(raised.value)


def test_layers_that_the_base_has_not_are_listed(tmp_path: Path) -> None:
    other = {
        name.replace("conv_in", "conv_first").replace("resnets", "blocks"): v for name, v in state(ADAPTER).items()
    }
    with pytest.raises(MixvelError, match=r"adapts conv_first, down_blocks\.0\.blocks\.0\.conv1, .* and \d+ more, and"):
        LoraFamily(base=UNetBase(), adapters=peft(tmp_path / "other", other)).tensors_without_items(0)
    wide = state(ADAPTER) | {B: torch.ones(12, 3, 1, 1)}
    with pytest.raises(MixvelError, match=r"weight of shape \(12, 1, 3, 3\) where the base has \(8, 1, 3, 3\)"):
        LoraFamily(base=UNetBase(), adapters=peft(tmp_path / "wide", wide)).tensors_without_items(0)
