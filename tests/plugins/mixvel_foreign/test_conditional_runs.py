"""Conditional networks of folders in runs: their conditions come from the data, or without data from the network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers_folders import network, plain_scheduler, saved, unet_with_text
from report_runs import IMAGES
from safetensors.torch import save_file
from whole_runs import run, snapshot

from mixvel_core.errors import AbsentError, RecipeError
from mixvel_core.pipeline.opened import open_run
from mixvel_core.protocols import Condition

DIGITS = {"in_channels": 1, "out_channels": 1, "num_class_embeds": 12}
SAMPLED = ("sample.steps=[2]", "sample.count=4", "sample.methods={mixed: {}}", "routers={prior: fixed}")


def test_classes_of_data_are_given_to_the_network(tmp_path: Path) -> None:
    folder = saved(network(**DIGITS), plain_scheduler(prediction_type="v_prediction"), tmp_path / "unet")
    use = f"{{use: diffusers, path: {folder}, condition: class, null_class: 11}}"
    guided = "sample.guidance={use: cfg, scale: 2.0}", "sample.condition=[3, 5]"
    groups = "partition={use: labels, groups: [[0, 1, 2], [3, 4, 5, 6, 7, 8, 9]]}"
    run(
        IMAGES,
        tmp_path / "run",
        groups,
        f"expert={use}",
        "condition={class: labels}",
        *SAMPLED,
        *guided,
        stage="sample",
    )
    about = json.loads((tmp_path / "run/experts/0/config.json").read_text())
    assert [(spec["name"], spec["classes"]) for spec in about["conditions"]] == [("class", 10)]
    with np.load(next((tmp_path / "run/samples").rglob("*.npz"))) as found:
        # At each of two steps the one expert whose shard has the class, and both without it.
        assert found["evaluations"].tolist() == [6] * 4
        assert np.isfinite(found["x"]).all()


RECIPE = """
name: texts
data: null
partition: null
schedule: vp-cosine
expert: {{use: diffusers, path: '{folder}', condition: text, null_text: '{null}'}}
routers: {{prior: fixed}}
sample:
  count: 2
  steps: [2]
  selector: mixture
  integrator: ddim
  condition: null
  methods: {{mixed: {{}}}}
evaluate: {{metrics: [{{use: sliced-w2, projections: 8}}]}}
launcher: local
"""


def test_texts_without_data_are_given_with_the_samples(tmp_path: Path) -> None:
    folder = saved(unet_with_text(), plain_scheduler(prediction_type="v_prediction"), tmp_path / "unet")
    null = tmp_path / "null.safetensors"
    save_file({"text": torch.randn(5, 6)}, null)
    text = RECIPE.format(folder=folder, null=null)
    with pytest.raises(
        RecipeError, match=r"are not here; take null, and give them with `mixvel sample RUN --condition"
    ):
        run(text, tmp_path / "from-data", "sample.condition=from-data", stage="sample")
    run(text, tmp_path / "run", stage="sample")
    with np.load(next((tmp_path / "run/samples").rglob("*.npz"))) as found:
        without = torch.from_numpy(found["x"])
    sampler = open_run(tmp_path / "run").sampler(steps=2, guidance=3.0)
    text_of = Condition(values={"text": torch.randn(1, 5, 6)})
    assert sampler.sample(2, condition=text_of).evaluations.tolist() == [4, 4]
    plain = open_run(tmp_path / "run").sampler(steps=2)
    torch.testing.assert_close(plain.sample(2).x, without, rtol=0, atol=1e-6)

    # What stands for no text is a copy in the run: the file may go. Another one is noticed.
    null.unlink()
    before = snapshot(tmp_path / "run" / "experts")
    run(text, tmp_path / "run", stage="sample")
    assert snapshot(tmp_path / "run" / "experts") == before
    with pytest.raises(AbsentError, match=r"null.safetensors: no such file"):
        run(text, tmp_path / "other", stage="sample")
    save_file({"text": torch.randn(5, 6)}, null)
    run(text, tmp_path / "run", stage="sample")
    assert not torch.allclose(open_run(tmp_path / "run").sampler(steps=2).sample(2).x, without, rtol=0, atol=1e-3)
