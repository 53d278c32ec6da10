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
        ("unet/config.json", {"_class_name": "UNet2DConditionModel"}, DataError, "only UNet2DModel is read"),
        ("unet/config.json", {"block_out_channels": [8]}, DataError, "diffusers cannot make this network"),
        ("unet/config.json", {"block_out_channels": [16, 16]}, DataError, "is it of another network"),
        ("unet/config.json", {"layers_per_block": 2}, DataError, "lacks "),
        ("unet/config.json", {"sample_size": 16}, RecipeError, "for images of 3 x 16 x 16"),
        ("unet/config.json", {"in_channels": 1}, RecipeError, "resize the data"),
        ("scheduler/scheduler_config.json", {"_class_name": "ScoreSdeVeScheduler"}, DataError, "is not known"),
        ("scheduler/scheduler_config.json", {"prediction_type": "x"}, DataError, "prediction_type 'x' is not known"),
        ("scheduler/scheduler_config.json", {"beta_schedule": "x"}, DataError, "beta_schedule 'x' is not known"),
        ("scheduler/scheduler_config.json", {"beta_start": "x"}, DataError, "of the wrong type"),
        ("scheduler/scheduler_config.json", {"trained_betas": [0.1] * 999 + [2.0]}, DataError, "no beta table"),
        ("scheduler/scheduler_config.json", {"rescale_betas_zero_snr": True}, DataError, "zero_snr"),
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
        config = {"_class_name": "DDIMScheduler", "num_train_timesteps": 100, "beta_start": 0.01}
        schedule: Any = training_of(config | {"timestep_spacing": spacing}, "here").schedule
        times = schedule.times(7)
        assert len(times) == 8
        assert all(a > b for a, b in pairwise(times))
        with pytest.raises(UsageError, match="has 100 entries"):
            schedule.times(101)
