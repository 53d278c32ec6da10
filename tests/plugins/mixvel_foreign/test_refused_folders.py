"""Folders of diffusers that cannot be read, or do not fit the data, are refused in a line."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from diffusers_folders import loaded, save_pipeline

from mixvel_core.errors import DataError, RecipeError, UsageError
from mixvel_foreign.scheduler import training_of


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pipeline(tmp_path_factory.mktemp("pipeline"))


def test_a_pickle_is_refused_with_its_conversion(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "pickled")
    unet = tmp_path / "pickled" / "unet"
    (unet / "diffusion_pytorch_model.safetensors").rename(unet / "diffusion_pytorch_model.bin")
    with pytest.raises(DataError, match=r"pickle, which is not read; if you trust it: python -c") as caught:
        loaded(tmp_path / "pickled")
    assert caught.value.exit_code == 3
    assert f"save_pretrained('{unet}')" in str(caught.value)


def spoil(path: Path, **changes: Any) -> None:
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | changes))


@pytest.mark.parametrize(
    ("name", "changes", "error", "words"),
    [
        ("unet/config.json", {"_class_name": "PixArtTransformer2DModel"}, DataError, "another transformer; only"),
        (
            "unet/config.json",
            {"_class_name": "Transformer2DModel"},
            DataError,
            "another transformer; only",
        ),
        (
            "unet/config.json",
            {"_class_name": "AutoencoderKL"},
            DataError,
            "a codec of images and no network of diffusion",
        ),
        (
            "unet/config.json",
            {"_class_name": "ControlNetModel"},
            DataError,
            "another network; only UNet2DModel, UNet2DConditionModel and DiTTransformer2DModel are read",
        ),
        ("unet/config.json", {"_class_name": None, "model_type": "vit"}, DataError, "holds vit of transformers"),
        ("unet/config.json", {"_class_name": None}, DataError, "names no class"),
        ("unet/config.json", {"class_embed_type": "timestep"}, DataError, "class_embed_type 'timestep' is not read"),
        ("unet/config.json", {"class_embed_type": "identity"}, DataError, "class_embed_type 'identity' is not read"),
        ("unet/config.json", {"time_embedding_type": "learned"}, DataError, "time_embedding_type 'learned' is not"),
        ("unet/config.json", {"time_embedding_type": "fourier"}, DataError, "time_embedding_type 'fourier' is not"),
        ("unet/config.json", {"in_channels": 6}, DataError, "it takes conditions besides points"),
        ("unet/config.json", {"block_out_channels": [8]}, DataError, "diffusers cannot make this network"),
        ("unet/config.json", {"block_out_channels": [16, 16]}, DataError, "is it of another network"),
        ("unet/config.json", {"layers_per_block": 2}, DataError, "lacks "),
        (
            "unet/config.json",
            {"sample_size": 16},
            RecipeError,
            "for images of 3 x 16 x 16, the data are 3 x 8 x 8; resize them",
        ),
        (
            "unet/config.json",
            {"in_channels": 1, "out_channels": 1},
            RecipeError,
            "the data are 3 x 8 x 8; give images of 1 channels",
        ),
        ("scheduler/scheduler_config.json", {"_class_name": "ScoreSdeVeScheduler"}, DataError, "is not known"),
        ("scheduler/scheduler_config.json", {"prediction_type": "x"}, DataError, "prediction_type 'x' is not known"),
        ("scheduler/scheduler_config.json", {"beta_schedule": "x"}, DataError, "beta_schedule 'x' is not known"),
        ("scheduler/scheduler_config.json", {"beta_start": "x"}, DataError, "of the wrong type"),
        ("scheduler/scheduler_config.json", {"trained_betas": [0.1] * 999 + [2.0]}, DataError, "no beta table"),
        ("scheduler/scheduler_config.json", {"rescale_betas_zero_snr": True}, DataError, "epsilon predicts"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(
    saved: Path, tmp_path: Path, name: str, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    shutil.copytree(saved, tmp_path / "spoilt")
    spoil(tmp_path / "spoilt" / name, **changes)
    with pytest.raises(error) as caught:
        loaded(tmp_path / "spoilt")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_and_absent_files_are_named(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such folder; download one with `hf download") as caught:
        loaded(tmp_path / "nowhere")
    assert caught.value.exit_code == 3
    shutil.copytree(saved, tmp_path / "cut")
    weights = tmp_path / "cut" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot be read as safetensors"):
        loaded(tmp_path / "cut")
    (tmp_path / "cut" / "unet" / "config.json").write_text("[")
    with pytest.raises(DataError, match="cannot be read as JSON"):
        loaded(tmp_path / "cut")


def test_more_steps_than_a_table_has_are_refused() -> None:
    for spacing in ("leading", "trailing", "linspace"):
        config = {"_class_name": "LMSDiscreteScheduler", "num_train_timesteps": 100, "beta_start": 0.01}
        schedule: Any = training_of(config | {"timestep_spacing": spacing}, "here").schedule
        times = schedule.times(7)
        assert len(times) == 8
        assert all(a > b for a, b in pairwise(times))
        with pytest.raises(UsageError, match="has 100 entries"):
            schedule.times(101)


def pipeline(folder: Path, **parts: str) -> Path:
    """An index of a pipeline with these parts, and the folders of its networks, without weights."""
    folder.mkdir(parents=True)
    index = {name: ["diffusers", value] for name, value in parts.items()}
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "Pipeline", **index}))
    for name, value in parts.items():
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps({"_class_name": value}))
    return folder


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"unet": "UNet2DModel", "vqvae": "VQModel", "scheduler": "DDIMScheduler"}, "latents, which VQModel makes"),
        ({"unet": "UNet2DModel", "vae": "AutoencoderKL"}, "latents, which AutoencoderKL makes of images"),
        (
            {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL"},
            "other/unet`, with `codec: {use: auto",
        ),
        (
            {"transformer": "DiTTransformer2DModel", "vae": "AutoencoderKL"},
            "other/transformer`, with `codec",
        ),
        (
            {"transformer": "FluxTransformer2DModel", "vae": "AutoencoderKL"},
            "FluxTransformer2DModel, another",
        ),
        ({"prior": "PriorTransformer"}, "a pipeline without a unet or a transformer (it has prior)"),
    ],
)
def test_pipelines_of_other_networks_are_named_before_their_files_are_missed(
    tmp_path: Path, parts: dict[str, str], words: str
) -> None:
    with pytest.raises(DataError) as caught:
        loaded(pipeline(tmp_path / "other", **parts))
    assert words in str(caught.value)


def test_adapters_files_and_folders_of_folders_have_a_way_on(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "lora").mkdir()
    (tmp_path / "lora" / "pytorch_lora_weights.safetensors").touch()
    (tmp_path / "model.ckpt").touch()
    shutil.copytree(saved, tmp_path / "many" / "0")
    shutil.copytree(saved / "scheduler", tmp_path / "alone" / "scheduler")
    for name, words in {
        "lora": "an adapter (LoRA, pytorch_lora_weights.safetensors), which is no network by itself; name its base",
        "model.ckpt": "a file, not a folder as diffusers writes it; load it with diffusers (from_single_file)",
        "many": f"name one of them, or all as {tmp_path / 'many'}/{{k}}",
        "alone": "holds a scheduler and no network (config.json)",
    }.items():
        with pytest.raises(DataError) as caught:
            loaded(tmp_path / name)
        assert words in str(caught.value)


def test_what_stands_in_place_of_weights_is_named(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "pointer")
    weights = tmp_path / "pointer" / "unet" / "diffusion_pytorch_model.safetensors"
    for content, words in {
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n": "`git lfs pull` in its folder gets them",
        b"<!DOCTYPE html><title>401</title>": "a web page and not the weights; download the file itself",
    }.items():
        weights.write_bytes(content)
        with pytest.raises(DataError) as caught:
            loaded(tmp_path / "pointer")
        assert words in str(caught.value)


def test_a_variant_of_the_weights_is_taken_where_it_is_named(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "half")
    weights = tmp_path / "half" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".fp16.safetensors"))
    with pytest.raises(DataError, match=r"but a variant of the weights, fp16; set `variant: fp16` to take it"):
        loaded(tmp_path / "half")
    assert loaded(tmp_path / "half", variant="fp16").schedule == loaded(saved).schedule
    with pytest.raises(DataError, match=r"holds no diffusion_pytorch_model.ema.safetensors, but a variant"):
        loaded(tmp_path / "half", variant="ema")
