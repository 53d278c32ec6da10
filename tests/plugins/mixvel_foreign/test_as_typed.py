"""Folders of others from the command line, as a new user would type it: one line that names the cause and the cure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Command
from diffusers import DDPMScheduler, UNet2DModel
from diffusers_folders import network

RECIPE = "recipes/mixture.yaml"


@pytest.fixture(scope="module")
def cats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline folder of diffusers, for images of 3 x 8 x 8."""
    folder = tmp_path_factory.mktemp("home") / "cats"
    network().save_pretrained(folder / "unet")
    DDPMScheduler().save_pretrained(folder / "scheduler")
    return folder


@pytest.mark.parametrize(
    ("file", "changes", "words"),
    [
        ("unet/config.json", {"_class_name": "UNet2DConditionModel"}, "reads a text; set `condition: text`"),
        ("unet/config.json", {"_class_name": "SD3Transformer2DModel"}, "holds SD3Transformer2DModel, another transf"),
        ("unet/config.json", {"_class_name": "AutoencoderKL"}, "holds AutoencoderKL, a codec of images"),
        ("unet/config.json", {"class_embed_type": "timestep"}, "class_embed_type 'timestep' is not read"),
        ("scheduler/scheduler_config.json", {"thresholding": True}, "set `clip: true` ([-1, 1]) or `clip: false`"),
        ("scheduler/scheduler_config.json", {"clip_sample_range": 3.0}, "clip_sample_range 3.0 is not read"),
        (
            "model_index.json",
            {"unet": ["diffusers", "UNet2DModel"], "vqvae": ["diffusers", "VQModel"]},
            "pass for pixels",
        ),
        (
            "model_index.json",
            {"transformer": ["diffusers", "SD3Transformer2DModel"]},
            "holds SD3Transformer2DModel",
        ),
    ],
)
def test_a_folder_of_another_kind(
    mixvel: Command, cats: Path, tmp_path: Path, file: str, changes: dict[str, object], words: str
) -> None:
    for name in ("unet/config.json", "scheduler/scheduler_config.json", "model_index.json"):
        known = json.loads((cats / name).read_text()) if (cats / name).exists() else {}
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if known or name == file:
            (tmp_path / name).write_text(json.dumps(known | (changes if name == file else {})))
    weights = "unet/diffusion_pytorch_model.safetensors"
    (tmp_path / weights).symlink_to(cats / weights)
    done = mixvel("check", RECIPE, f"expert={{use: diffusers, path: {tmp_path}}}")
    assert done.code in (2, 3)
    assert words in done.err
    assert len({line.split(": ", 1)[-1] for line in done.problems}) == 1


def test_the_half_precision_variant_in_the_home_folder(
    mixvel: Command, cats: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    UNet2DModel.from_pretrained(cats / "unet").half().save_pretrained(cats.parent / "half", variant="fp16")
    DDPMScheduler().save_pretrained(cats.parent / "half")
    monkeypatch.setenv("HOME", str(cats.parent))
    images = "data={use: procedural, resolution: 8, count: 200}"
    done = mixvel("check", "recipes/digits.yaml", images, "monolith={use: diffusers, path: ~/half}")
    assert "a variant of the weights, fp16; set `variant: fp16` to take it" in done.err
    done = mixvel("check", "recipes/digits.yaml", images, "monolith={use: diffusers, path: ~/half, variant: fp16}")
    assert done.code == 0, done.err
