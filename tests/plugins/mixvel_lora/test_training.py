"""Adapters trained with PEFT, from recipe to report: each on its own shard, on one base, and stored without it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from adapters import SHAPE, UNetBase, random_adapter, small_unet
from attrs import evolve
from whole_runs import TRAINED, Bomb, KilledError, recipe_of, results, run, snapshot

from mixvel_core.errors import MixvelError, RecipeError, UsageError
from mixvel_core.federated.train import train_expert
from mixvel_core.pipeline.experts import family_on
from mixvel_core.pipeline.loaded import Loaded
from mixvel_core.pipeline.models import model_stages
from mixvel_core.pipeline.opened import open_run
from mixvel_core.pipeline.partition import partition_artifact, stored_shards
from mixvel_core.pipeline.run import RunResult
from mixvel_core.protocols import CLASS, ExpertConfig
from mixvel_core.protocols.progress import Silent
from mixvel_core.sampling.dispatch import GroupMember, group_of
from mixvel_core.testing.families import check_task
from mixvel_lora.adapter import adapter_of, digest_of_weights, fitted, layers_of
from mixvel_lora.adapter_files import read_adapter
from mixvel_lora.family import LoraFamily
from mixvel_schedules.schedules import Cosine

peft = pytest.importorskip("peft")

K = 3
LORA = TRAINED.replace("expert: {use: unet, channels: [4, 8]", "expert: {use: lora, rank: 2, alpha: 3").replace(
    "    mixed: {selector: mixture}", "    cached: {selector: cached, integrator: 2m}"
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run from data to report."""
    folder = tmp_path_factory.mktemp("lora")
    run(LORA, folder)
    return folder


def test_only_the_adapter_is_stored_with_the_digest_of_its_base(whole: Path) -> None:
    base = open_run(whole).models.monolith
    assert base is not None
    network = base.load().network  # type: ignore[attr-defined]  # a U-Net's expert has one
    for k in range(K):
        folder = whole / f"experts/{k}"
        assert json.loads((folder / "config.json").read_text())["base"] == base.key
        adapter = read_adapter(folder)
        assert adapter.base == digest_of_weights(network)
        assert fitted(adapter, network, "test", adapter.base).layers.keys() == layers_of(network).keys()
        assert {one.rank for one in adapter.layers.values()} == {2}
        assert {one.scale for one in adapter.layers.values()} == {1.5}
        assert any(bool(one.B.any()) for one in adapter.layers.values())
        assert (folder / "model.safetensors").stat().st_size < (whole / "monolith/model.safetensors").stat().st_size / 2


def test_running_again_changes_nothing(whole: Path) -> None:
    before = snapshot(whole / "experts") | snapshot(whole / "monolith")
    run(LORA, whole)
    assert snapshot(whole / "experts") | snapshot(whole / "monolith") == before


def test_experts_of_a_run_are_one_group(whole: Path) -> None:
    opened = open_run(whole)
    loaded = Loaded(opened.models, opened.recipe.sample, torch.device("cpu"))
    experts = loaded.experts()
    assert group_of(experts) is not None
    x, t = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0)), torch.tensor([0.3, 0.8])
    for expert, stored in zip(experts, opened.models.experts, strict=True):
        torch.testing.assert_close(expert.denoise(x, t), stored.load().denoise(x, t), atol=1e-6, rtol=0)


def test_a_training_can_be_sent_to_a_worker_and_starts_from_its_seed(whole: Path) -> None:
    opened = open_run(whole)
    stored = opened.models.experts[1]
    task = family_on(stored.family, stored.base).task(opened.shards.parts[1], opened.models.schedule.build())
    assert task is not None
    check_task("the task", task)


def test_an_expert_is_trained_on_its_own_shard_and_the_base_alone(whole: Path, tmp_path: Path) -> None:
    recipe = recipe_of(LORA)
    run(LORA, tmp_path, stage="monolith")
    shards = stored_shards(partition_artifact(recipe, tmp_path))
    assert shards is not None
    for k in (0, 2):
        (tmp_path / f"shards/{k}/items.npy").unlink()
    stages = model_stages(recipe, tmp_path, shards)
    RunResult(recipe=recipe, folder=tmp_path, progress=Silent()).train(stages, "experts", only=1)
    assert not (tmp_path / "experts/0").exists()
    alone, together = (folder / "experts/1/model.safetensors" for folder in (tmp_path, whole))
    assert alone.read_bytes() == together.read_bytes()


def test_killed_anywhere_and_run_again_it_ends_with_the_same_bits(whole: Path, tmp_path: Path) -> None:
    counted = Bomb()
    run(LORA, tmp_path / "counted", progress=counted, stage="experts")
    # While the base is trained, while adapters are, and between two of them.
    for fuse in range(5, counted.events, counted.events // 4):
        folder = tmp_path / str(fuse)
        with pytest.raises(KilledError):
            run(LORA, folder, progress=Bomb(fuse=fuse), stage="experts")
        run(LORA, folder, stage="experts")
        for part in ("experts", "monolith"):
            assert results(folder / part) == results(whole / part)
        shutil.rmtree(folder)


def test_another_base_is_another_adapter(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"experts 0 to 2 and the monolith were trained with another `monolith`"):
        run(LORA, whole, "monolith.train.steps=4")
    shutil.copytree(whole, tmp_path / "run")
    other = "expert={use: lora, adapters: '" + str(whole / "experts") + "/{k}'}"
    run(LORA, tmp_path / "same", other)
    ours, theirs = (read_adapter(place / "experts/1") for place in (tmp_path / "same", whole))
    assert ours.base == theirs.base
    assert all(torch.equal(one.B, theirs.layers[name].B) for name, one in ours.layers.items())
    with pytest.raises(MixvelError, match="experts/0: an adapter of another base") as raised:
        run(LORA, tmp_path / "other", other, "monolith.train.steps=4")
    assert "\n" not in str(raised.value)


def test_on_a_base_with_classes_they_read_classes_and_are_guided(tmp_path: Path) -> None:
    guided = "sample.methods={plain: {selector: cached}, guided: {selector: cached, guidance: {use: cfg, scale: 3}}}"
    run(LORA, tmp_path, "condition={class: labels}", guided, stage="sample")
    opened = open_run(tmp_path)
    expert = Loaded(opened.models, opened.recipe.sample, torch.device("cpu")).experts()[0]
    assert isinstance(expert, GroupMember)
    assert expert.null is not None
    assert expert.null.values[CLASS].tolist() == [10]
    x = {path.parent.name: np.load(path)["x"] for path in (tmp_path / "samples").glob("*/*.npz")}
    assert float(np.abs(x["guided"] - x["plain"]).max()) > 1e-3


def test_what_cannot_be_is_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="expert  lora makes adapters, and no section `monolith` is their base"):
        recipe_of(LORA, "monolith=null", "sample.methods={drawn: {}}")
    with pytest.raises(RecipeError, match="monolith  lora makes adapters, which need a base"):
        recipe_of(LORA, "monolith=lora")
    with pytest.raises(RecipeError, match="adapters are nothing without their base"):
        train_expert(recipe_of(LORA), 0, tmp_path / "bundle", progress=Silent())
    with pytest.raises(MixvelError, match="targets: no layer's name ends with to_q; there are conv, conv1, "):
        run(LORA, tmp_path / "run", "expert.targets=[to_q]")
    assert not (tmp_path / "run/monolith").exists()


def test_peft_reads_and_applies_files_as_we_do(tmp_path: Path) -> None:
    names = list(layers_of(small_unet()))
    config = peft.LoraConfig(r=3, lora_alpha=6, target_modules=names, alpha_pattern={"unet.conv_in": 12})
    model = peft.get_peft_model(small_unet(), config)
    theirs = random_adapter(1, rank=3)
    for name, one in theirs.layers.items():
        layer = model.base_model.model.get_submodule(name)
        with torch.no_grad():
            layer.lora_A["default"].weight.copy_(one.A)
            layer.lora_B["default"].weight.copy_(one.B)
    model.save_pretrained(tmp_path)
    family = LoraFamily(base=UNetBase(), adapters=tmp_path)
    config = ExpertConfig(index=0, count=1, fraction=1.0, shape=SHAPE)
    ours = family.load(config, family.tensors_without_items(0), Cosine())
    x, t = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0)), torch.tensor([0.1, 0.5, 0.9])
    with torch.no_grad():
        wanted = evolve(UNetBase().load(), network=model.eval()).denoise(x, t)
        torch.testing.assert_close(ours.denoise(x, t), wanted, atol=1e-5, rtol=0)
    assert adapter_of(family.tensors_without_items(0), "test").layers["unet.conv_in"].scale == 4.0


def test_diffusers_writes_what_we_read(tmp_path: Path) -> None:
    loaders = pytest.importorskip("diffusers.loaders")
    inner = small_unet().unet
    config = peft.LoraConfig(r=2, lora_alpha=5, target_modules=["conv1", "to_q"])
    peft.inject_adapter_in_model(config, inner)
    loaders.StableDiffusionLoraLoaderMixin.save_lora_weights(
        tmp_path,
        unet_lora_layers=peft.get_peft_model_state_dict(inner),
        unet_lora_adapter_metadata=config.to_dict(),
    )
    found = fitted(read_adapter(tmp_path), small_unet(), "test", "base")
    assert {name.rpartition(".")[2] for name in found.layers} == {"conv1", "to_q"}
    assert {one.scale for one in found.layers.values()} == {2.5}
