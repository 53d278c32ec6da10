"""Three checkpoints, no data, no training, one command: a run of diffusers folders routed by the experts' answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attrs import frozen
from command import Command
from diffusers import DDIMScheduler, UNet2DModel
from pages import blocks

RECIPE = """
name: checkpoints
data: null
partition: null
schedule: vp-cosine
expert: {{use: diffusers, path: '{models}/{{k}}'}}
routers: {{answers: {{use: experts, prior: none, second_moment: probe}}}}
sample:
  count: 4
  steps: [4]
  selector: mixture
  integrator: ddim
  grid: angle
  methods: {{mixture: {{}}}}
evaluate: {{metrics: [sliced-w2]}}
launcher: local
"""


def save(folder: Path, seed: int, **changes: Any) -> None:
    """A pipeline folder as diffusers writes it, of a random network for images of 8 x 8."""
    torch.manual_seed(seed)
    settings: dict[str, Any] = {
        "sample_size": 8,
        "in_channels": 1,
        "out_channels": 1,
        "block_out_channels": (8, 16),
        "down_block_types": ("DownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "UpBlock2D"),
        "layers_per_block": 1,
        "norm_num_groups": 4,
    }
    UNet2DModel(**settings | changes).save_pretrained(folder / "unet")
    DDIMScheduler(prediction_type="v_prediction").save_pretrained(folder / "scheduler")


@frozen(kw_only=True)
class Place:
    """Where the checkpoints are, and the recipe of them."""

    models: Path
    recipe: Path


@pytest.fixture
def place(tmp_path: Path) -> Place:
    for k in range(3):
        save(tmp_path / "models" / str(k), seed=k)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.format(models=tmp_path / "models"))
    return Place(models=tmp_path / "models", recipe=recipe)


def test_one_command_makes_samples_of_three_checkpoints(mixvel: Command, place: Place, tmp_path: Path) -> None:
    out = tmp_path / "run"
    for look in (["check"], ["run", "--dry-run"]):
        planned = mixvel(*look, str(place.recipe), "--out", str(out))
        assert planned.code == 0, planned.err
        assert "3 experts" in planned.out or "3 shards" in planned.out, planned.out
    assert not out.exists()
    done = mixvel("run", str(place.recipe), "--out", str(out))
    assert done.code == 0, done.err
    with np.load(next((out / "samples").rglob("*.npz"))) as found:
        assert found["x"].shape == (4, 1, 8, 8)
        assert np.isfinite(found["x"]).all()
        # Every expert at every step, and a probe of each.
        assert found["evaluations"].tolist() == [24] * 4
    assert json.loads((out / "shards" / "1" / "shard.json").read_text())["remote"] == "checkpoint"
    assert (out / "report" / "index.html").is_file()
    again = mixvel("run", str(place.recipe), "--out", str(out))
    assert again.code == 0, again.err


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (["routers={m: moments}"], "mean and variance of shard 0; ask its owner for `mixvel train --share moments`"),
        (["expert={use: unet}"], "`data` is null, they are with their owners"),
        (["expert.path=nowhere/{k}"], "no such folder"),
        (
            ["expert={use: per-shard, experts: [{use: unet}]}"],
            "expert per-shard: `data` is null, and experts[0] (unet) needs the items of its shard",
        ),
    ],
)
def test_what_cannot_do_without_data_is_one_line(
    mixvel: Command, place: Place, tmp_path: Path, changes: list[str], complaint: str
) -> None:
    done = mixvel("run", str(place.recipe), *changes, "--out", str(tmp_path / "run"))
    assert done.code != 0
    assert complaint in done.err
    assert len(done.err.strip().splitlines()) == 1, done.err
    assert mixvel("check", str(place.recipe), *changes, "--out", str(tmp_path / "run")).err == done.err


def test_experts_of_different_shapes_are_one_line(mixvel: Command, place: Place, tmp_path: Path) -> None:
    save(place.models / "1", seed=1, in_channels=3, out_channels=3)
    done = mixvel("run", str(place.recipe), "--out", str(tmp_path / "run"))
    assert "expert diffusers: expert 1 is for items of 3 x 8 x 8, expert 0 for 1 x 8 x 8" in done.err
    assert not (tmp_path / "run" / "experts").exists()


def test_the_three_kinds_of_the_page_make_samples_of_a_class_with_guidance(
    mixvel: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines of docs/foreign-experts.md, as they stand."""
    monkeypatch.chdir(tmp_path)
    page = {block.text.partition("\n")[0]: block.text for block in blocks("python", "yaml")}
    exec(compile(page["# folders.py"], "folders.py", "exec"), {})
    (tmp_path / "checkpoints.yaml").write_text(page["# checkpoints.yaml"])
    [shell] = [block.text for block in blocks("sh") if "checkpoints.yaml" in block.text]
    for line in shell.splitlines():
        done = mixvel(*line.rpartition("mixvel ")[2].split())
        assert done.code == 0, done.err
    for name, count in (("samples", 8), ("more", 4)):
        with np.load(next((tmp_path / "runs/checkpoints" / name).rglob("*.npz"))) as found:
            assert found["x"].shape == (count, 4, 8, 8)
            assert np.isfinite(found["x"]).all()
    assert (tmp_path / "runs/checkpoints/report/index.html").is_file()
