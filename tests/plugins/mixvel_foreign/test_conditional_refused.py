"""Conditional networks that do not go with their options, their data or each other: a line that says why."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from attrs import evolve
from diffusers_folders import dit, expert_of, network, plain_scheduler, saved, unet_with_text
from safetensors.torch import save_file

from mixvel_core.errors import DataError, MixvelError, RecipeError
from mixvel_core.protocols import ConditionSpec
from mixvel_foreign.diffusers_family import DiffusersFamily


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("class", {"condition": "text"}, "reads no text; leave `condition` out"),
        ("class", {"condition": "class", "label": 1}, "`label` is one class for all, `condition` each sample's"),
        ("class", {"null_class": 1}, "`null_class` goes with `condition: class`"),
        ("class", {"condition": "class", "null_class": 3}, "has classes 0 to 2, and null_class 3 is none"),
        ("class", {"label": 7}, "has classes 0 to 2, and 7 is none"),
        ("text", {}, "reads a text; set `condition: text`"),
        ("text", {"condition": "class"}, "reads no classes; leave `condition` out"),
        ("text", {"condition": "text", "null_text": Path("nowhere.safetensors")}, "nowhere.safetensors: no such file"),
        ("text", {"condition": "text", "null_text": "wide"}, "embeddings of shape (5, 7); expert diffusers:"),
        ("text", {"condition": "text", "null_text": "two"}, "holds 2 tensors"),
        ("dit", {"condition": "text"}, "reads no text"),
        ("dit", {"condition": "class", "null_class": 6}, "has classes 0 to 5, and null_class 6 is none"),
    ],
)
def test_conditions_that_do_not_go_with_the_network_are_refused_in_a_line(
    tmp_path: Path, name: str, options: dict[str, Any], words: str
) -> None:
    models = {"class": network(num_class_embeds=3), "text": unet_with_text(), "dit": dit(num_embeds_ada_norm=5)}
    folder = saved(models[name], plain_scheduler(), tmp_path / name)
    files = {"wide": {"a": torch.zeros(5, 7)}, "two": {"a": torch.zeros(5, 6), "b": torch.zeros(5, 6)}}
    if (file := options.get("null_text")) in files:
        save_file(files[str(file)], tmp_path / "null.safetensors")
        options = options | {"null_text": tmp_path / "null.safetensors"}
    with pytest.raises(MixvelError) as told:
        expert_of(folder, (3, 8, 8) if name == "class" else (4, 8, 8), **options)
    assert words in str(told.value)
    assert "\n" not in str(told.value)


def test_conditions_of_data_that_the_network_does_not_read_are_refused(tmp_path: Path) -> None:
    folder = saved(network(num_class_embeds=3), plain_scheduler(), tmp_path / "class")
    with pytest.raises(RecipeError, match="has classes 0 to 2, and the condition class of the data 4 of them"):
        expert_of(folder, (3, 8, 8), (ConditionSpec(name="class", classes=4),), condition="class")
    folder = saved(unet_with_text(), plain_scheduler(), tmp_path / "text")
    with pytest.raises(RecipeError, match=r"reads embeddings of texts \(L, 6\).* of the data is \(5, 7\)"):
        expert_of(folder, (4, 8, 8), (ConditionSpec(name="text", shape=(5, 7)),), condition="text")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"addition_embed_type": "text_time"}, "addition_embed_type 'text_time' is not read"),
        ({"encoder_hid_dim_type": "text_proj"}, "encoder_hid_dim_type 'text_proj' is not read"),
        ({"time_cond_proj_dim": 8}, "time_cond_proj_dim 8 is not read"),
        ({"cross_attention_dim": [6, 8]}, "cross_attention_dim differs between its levels"),
        ({"in_channels": 9}, "it takes conditions besides points"),
        (
            {"_class_name": "UNet3DConditionModel"},
            "holds UNet3DConditionModel, another network; only UNet2D",
        ),
    ],
)
def test_networks_that_read_something_else_are_refused_by_name(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    folder = saved(unet_with_text(), plain_scheduler(), tmp_path / "text")
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(DataError) as told:
        expert_of(folder, (4, 8, 8), condition="text")
    assert words in str(told.value)


def test_folders_of_one_run_read_the_same(tmp_path: Path) -> None:
    for k, classes in enumerate((3, 3, 4)):
        saved(network(num_class_embeds=classes), plain_scheduler(), tmp_path / str(k))
    made = DiffusersFamily(path=tmp_path / "{k}", condition="class")
    with pytest.raises(RecipeError, match=r"expert 2 reads class \(4\), expert 0 class \(3\)"):
        made.conditions()
    shutil.rmtree(tmp_path / "2")
    assert made.conditions() == (ConditionSpec(name="class", classes=3),)
    assert evolve(made, condition=None).conditions() == ()
