"""A base in diffusers' layout and adapters in PEFT's: without data or training, one command from files to samples."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, UNet2DModel
from safetensors.torch import save_file
from whole_runs import recipe_of, run, snapshot

from mixvel_core.errors import DataError, MixvelError, RecipeError
from mixvel_core.export.layout import WEIGHTS
from mixvel_core.export.parts import open_exported, parts_of
from mixvel_core.export.write import export_run
from mixvel_core.pipeline.loaded import Loaded
from mixvel_core.pipeline.opened import open_run
from mixvel_core.randomness import normal
from mixvel_core.sampling.dispatch import group_of
from mixvel_lora.adapter import layers_of

K = 3
RECIPE = """
name: adapters
data: null
partition: null
schedule: vp-cosine
expert: {{use: lora, adapters: '{place}/{{k}}'}}
monolith: {{use: diffusers, path: '{place}/base'}}
routers: {{equal: {{use: fixed, weights: uniform}}, given: {{use: fixed, weights: [1, 0, 3]}}, answers: {answers}}}
sample:
  count: 4
  steps: [4]
  selector: mixture
  integrator: ddim
  grid: angle
  methods:
    base: {{model: monolith}}
    composite: {{router: equal}}
    weighted: {{router: given}}
    answers: {{}}
    one: {{router: equal, selector: iid}}
    cached: {{router: answers, selector: cached}}
evaluate: {{metrics: [sliced-w2]}}
launcher: {{use: local, device: cpu, threads: 1}}
"""


def save_adapter(network: UNet2DModel, folder: Path, k: int) -> None:
    """Of attention's queries and of the first convolution of each block."""
    tensors = {}
    for number, (name, layer) in enumerate(layers_of(network).items()):
        if name.endswith(("to_q", "conv1")):
            out, *rest = layer.weight.shape
            seed = 1000 * k + number
            tensors[f"base_model.model.{name}.lora_A.weight"] = normal(seed, torch.arange(2), (*rest,), torch.float32)
            B = normal(seed + 500, torch.arange(out), (2, *(1 for _ in rest[1:])), torch.float32)
            tensors[f"base_model.model.{name}.lora_B.weight"] = 0.05 * B
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    about = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["to_q", "conv1"]}
    (folder / "adapter_config.json").write_text(json.dumps(about))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base and K adapters, as others write them."""
    folder = tmp_path_factory.mktemp("adapters")
    torch.manual_seed(0)
    network = UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=8,
    )
    network.save_pretrained(folder / "base/unet")
    DDIMScheduler(prediction_type="v_prediction").save_pretrained(folder / "base/scheduler")
    for k in range(K):
        save_adapter(network, folder / str(k), k)
    return folder


def text_of(place: Path) -> str:
    return RECIPE.format(place=place, answers="{use: experts, prior: none, second_moment: probe}")


def test_one_command_from_files_to_samples(place: Path, tmp_path: Path) -> None:
    run(text_of(place), tmp_path, stage="sample")
    opened = open_run(tmp_path)
    assert [one.config.index for one in opened.models.experts] == [0, 1, 2]
    samples = {path.parent.name: np.load(path) for path in (tmp_path / "samples").glob("*/*.npz")}
    assert {name: int(found["evaluations"][0]) for name, found in samples.items() if name != "cached"} == {
        "base": 4,
        "composite": 4 * K,
        "weighted": 4 * 2,
        "answers": int(samples["answers"]["evaluations"][0]),
        "one": 4,
    }
    assert float(np.abs(samples["composite"]["x"] - samples["base"]["x"]).max()) > 1e-2
    before = snapshot(tmp_path / "experts")
    run(text_of(place), tmp_path, stage="sample")
    assert snapshot(tmp_path / "experts") == before


def test_they_are_exported_with_their_base(place: Path, tmp_path: Path) -> None:
    run(text_of(place), tmp_path / "run", stage="sample")
    opened, seed = open_run(tmp_path / "run"), 3
    made = export_run(tmp_path / "run", tmp_path / "out", ["sample.steps=[4]"], method="composite")
    theirs = open_exported(parts_of(made)).sampler(device="cpu")
    ours = opened.sampler(router="equal", steps=4, device="cpu")
    torch.testing.assert_close(theirs.sample(4, seed=seed).x, ours.sample(4, seed=seed).x, atol=1e-6, rtol=0)
    files = {path.relative_to(made / "experts").as_posix() for path in (made / "experts").rglob("*.safetensors")}
    assert "monolith/diffusion_pytorch_model.safetensors" in files
    assert (made / "experts/0/model.safetensors").stat().st_size < (made / "experts/monolith" / WEIGHTS).stat().st_size
    alone = export_run(tmp_path / "run", tmp_path / "base", ["sample.steps=[4]"], method="base")
    theirs = open_exported(parts_of(alone)).sampler(monolith=True, device="cpu")
    ours = opened.sampler(monolith=True, steps=4, device="cpu")
    torch.testing.assert_close(theirs.sample(4, seed=seed).x, ours.sample(4, seed=seed).x, atol=1e-6, rtol=0)


def test_merged_they_are_networks_of_their_own_and_sample_the_same(place: Path, tmp_path: Path) -> None:
    methods = "sample.methods={composite: {router: equal}}"
    for name, merge in (("apart", "true"), ("together", "false")):
        run(text_of(place), tmp_path / name, methods, f"expert.merge={merge}", stage="sample")
    opened = open_run(tmp_path / "apart")
    experts = Loaded(opened.models, opened.recipe.sample, torch.device("cpu")).experts()
    assert group_of(experts) is None
    apart, together = (
        np.load(next((tmp_path / name / "samples").glob("*/*.npz")))["x"] for name in ("apart", "together")
    )
    np.testing.assert_allclose(apart, together, atol=1e-4)


def test_what_cannot_be_is_refused_in_a_line(place: Path, tmp_path: Path) -> None:
    with pytest.raises(MixvelError, match="router fixed: 2 weights for 3 experts") as raised:
        run(text_of(place), tmp_path / "a", "routers.given.weights=[1, 2]")
    assert "\n" not in str(raised.value)
    with pytest.raises(MixvelError, match="no adapter there"):
        run(text_of(place), tmp_path / "b", f"expert.adapters={place}/none/{{k}}")
    with pytest.raises(DataError, match="`data` is null, they are with their owners"):
        run(text_of(place), tmp_path / "c", "expert={use: lora}")
    with pytest.raises(RecipeError, match="monolith  needs the data of all shards together, and `data` is null"):
        recipe_of(text_of(place), f"expert={{use: diffusers, path: {place}/base}}")
