"""Experts that start from weights that are there: those of diffusers, and those of an expert of a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve
from diffusers import UNet2DModel
from safetensors.torch import load_file, save_file
from torch import nn
from trainable import CPU, StoppedError, stop_at
from trainable import run as train
from whole_runs import TRAINED, results, run, snapshot

from mixvel_core.artifacts.tensors import read_tensors
from mixvel_core.errors import AbsentError, DataError, MixvelError, UsageError
from mixvel_core.field.conversions import add_noise, point_for, target
from mixvel_core.protocols import ExpertConfig, Job
from mixvel_core.testing.problems import MemoryShard
from mixvel_core.training.batches import Batches
from mixvel_core.training.checkpoint import read_trained
from mixvel_core.training.log import read_losses
from mixvel_core.training.options import TrainOptions
from mixvel_core.training.world import World
from mixvel_schedules.schedules import Cosine
from mixvel_unet.family import UNetFamily

SHARD = MemoryShard(items=np.random.default_rng(0).integers(0, 256, (9, 3, 8, 8), np.uint8))
CONFIG = ExpertConfig(index=0, count=9, fraction=1.0, shape=(3, 8, 8))
OURS = {"sample_size": 8, "block_out_channels": (4, 8), "layers_per_block": 1, "norm_num_groups": 1}
BLOCKS = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2, "add_attention": False}
AS_DDPM = {"norm_eps": 1e-6, "freq_shift": 1, "flip_sin_to_cos": False, "downsample_padding": 0}
"""What the public DDPM folders have other than diffusers' defaults: it changes no shape."""


def unet(**changes: Any) -> UNet2DModel:
    torch.manual_seed(1)
    made = UNet2DModel(**{**OURS, **BLOCKS, **AS_DDPM, **changes})
    assert isinstance(made, UNet2DModel)
    return made


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("initial") / "unet"
    unet().save_pretrained(folder)
    return folder


def family(initial: Path, **changes: Any) -> UNetFamily:
    train = TrainOptions(steps=4, batch=4, warmup=2, learning_rate=3e-3, checkpoint_every=2, log_every=1)
    return UNetFamily(channels=(4, 8), train=train, initial=initial, **changes)


def job(initial: Path, folder: Path, **changes: Any) -> Job:
    return Job(name="expert-0", task=family(initial, **changes).task(SHARD, Cosine()), seed=5, folder=folder)


def loss_of(network: nn.Module, made: Job) -> float:
    """Of a network of diffusers, at the first batch of a training that predicts v."""
    batch = Batches(made, CPU, World()).at(0)
    p = point_for(Cosine(), batch.t, batch.x_0)
    with torch.no_grad():
        output = network(add_noise(batch.x_0, batch.eps, p), 1000.0 * batch.t, return_dict=False)[0]
    return float((output - target("v", batch.x_0, batch.eps, p)).square().mean())


def first_loss(folder: Path) -> float:
    return float(read_losses(folder / "losses.csv")["loss"][0])


def test_the_first_loss_is_that_of_the_network_of_diffusers(saved: Path, tmp_path: Path) -> None:
    made = job(saved, tmp_path / "job")
    train(made)
    wanted = loss_of(UNet2DModel.from_pretrained(saved), made)
    assert first_loss(made.folder) == pytest.approx(wanted, rel=1e-5)
    assert wanted != pytest.approx(loss_of(unet(**dict.fromkeys(AS_DDPM, 0) | {"norm_eps": 1e-1}), made), rel=1e-2)


def test_a_trained_expert_comes_back_with_what_its_configuration_says(saved: Path, tmp_path: Path) -> None:
    made, how = job(saved, tmp_path / "job"), family(saved)
    train(made)
    trained = read_trained(made.folder)
    expert = how.load(CONFIG, how.tensors(SHARD, trained), Cosine())
    theirs = unet()
    theirs.load_state_dict({n.removeprefix("unet."): v for n, v in trained.items() if n != "config"})
    x, t = torch.randn(2, 3, 8, 8), torch.tensor([0.3, 0.7])
    p = point_for(Cosine(), t, x)
    with torch.no_grad():
        v = theirs.eval()(x, 1000.0 * t, return_dict=False)[0]
    torch.testing.assert_close(expert.denoise(x, t), (p.alpha * x - p.sigma * v).clamp(-1, 1), rtol=1e-4, atol=1e-5)


def test_interrupted_and_resumed_training_gives_the_same_bits(saved: Path, tmp_path: Path) -> None:
    train(job(saved, tmp_path / "straight"))
    with pytest.raises(StoppedError):
        train(job(saved, tmp_path / "resumed"), stop_at(3))
    train(job(saved, tmp_path / "resumed"))
    for name in ("trained.safetensors", "losses.csv"):
        assert (tmp_path / "resumed" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


def test_layouts_of_a_folder_are_those_that_diffusers_writes(saved: Path, tmp_path: Path) -> None:
    unet().half().save_pretrained(tmp_path / "half" / "unet", variant="fp16")
    unet().save_pretrained(tmp_path / "parts", max_shard_size="20KB")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 1
    made = [job(folder, tmp_path / name) for name, folder in (("a", saved), ("b", tmp_path / "parts"))]
    networks = [one.task.objective(0).network.state_dict() for one in made]
    assert all(torch.equal(networks[0][name], value) for name, value in networks[1].items() if name != "config")
    halves = job(tmp_path / "half", tmp_path / "c").task.objective(0).network.state_dict()
    torch.testing.assert_close(halves["unet.conv_in.weight"], networks[0]["unet.conv_in.weight"], rtol=1e-3, atol=1e-3)
    assert halves["unet.conv_in.weight"].dtype == torch.float32


_EXPERT = "channels: [4, 8], train: {steps: 3, batch: 4, warmup: 1, checkpoint_every: 2, log_every: 1}"
PLAIN = "monolith=null", "routers={prior: fixed}", "sample.methods={drawn: {}}", f"expert={{use: unet, {_EXPERT}}}"


def started(initial: Path) -> tuple[str, ...]:
    use = f"{{use: unet, {_EXPERT}, initial: {initial}}}"
    return *PLAIN[1:3], f"expert={use}", f"monolith={use}"


def test_all_experts_and_the_monolith_start_from_an_expert_of_a_run(tmp_path: Path) -> None:
    run(TRAINED, tmp_path / "base", *PLAIN, stage="experts")
    base = tmp_path / "base" / "experts" / "1"
    run(TRAINED, tmp_path / "run", *started(base), stage="evaluate")
    about = json.loads((tmp_path / "run/monolith/config.json").read_text())
    assert [name for name, _ in about["files"]] == ["model.safetensors"]
    before = results(tmp_path / "run")

    # A folder that is gone changes nothing of what is made; another file of its name is noticed.
    shutil.move(base, tmp_path / "away")
    run(TRAINED, tmp_path / "run", *started(base), stage="evaluate")
    assert results(tmp_path / "run") == before
    with pytest.raises(AbsentError, match="no such folder to start from; put the weights there"):
        run(TRAINED, tmp_path / "other", *started(base), stage="experts")
    shutil.copytree(tmp_path / "base" / "experts" / "2", base)
    with pytest.raises(UsageError, match=r"were trained from other files in .*/base/experts/1, or on other data, than"):
        run(TRAINED, tmp_path / "run", *started(base), stage="experts")
    run(TRAINED, tmp_path / "run", *started(base), stage="experts", fresh=["all"])
    run(TRAINED, tmp_path / "moved", *started(tmp_path / "base" / "experts" / "2"), stage="experts")
    weights = {
        name: read_tensors(tmp_path / name / "experts/0/model.safetensors")["network.unet.conv_in.weight"]
        for name in ("run", "moved")
    }
    assert torch.equal(weights["run"], weights["moved"])


def test_the_place_of_the_weights_is_in_no_key_but_what_they_are(saved: Path, tmp_path: Path) -> None:
    images = "data={use: procedural, resolution: 8, count: 40}", "partition={use: kmeans, shards: 2}"

    def again(folder: Path) -> None:
        run(TRAINED, tmp_path / "run", *started(folder)[:3], "monolith=null", *images, stage="experts")

    again(saved)
    before = snapshot(tmp_path / "run" / "experts")
    losses = {first_loss(tmp_path / "run/experts" / k) for k in "01"}
    assert len(losses) == 2
    shutil.copytree(saved, tmp_path / "moved")
    again(tmp_path / "moved")
    assert snapshot(tmp_path / "run" / "experts") == before
    path = tmp_path / "moved" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"norm_eps": 1e-3}))
    with pytest.raises(UsageError, match="were trained from other files in"):
        again(tmp_path / "moved")


def test_every_shard_starts_from_the_same_weights_whatever_the_seed(saved: Path) -> None:
    tasks = [family(saved).task(evolve(SHARD, index=k), Cosine()) for k in (0, 1, -1)]
    networks = [task.objective(seed).network.state_dict() for seed, task in enumerate(tasks)]
    theirs = unet().state_dict()
    assert all(torch.equal(net[f"unet.{name}"], value) for net in networks for name, value in theirs.items())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layers_per_block": 2}, "holds, beyond the network, "),
        ({"block_out_channels": (4, 12)}, "has shape "),
        ({"num_class_embeds": 3}, "holds, beyond the network, unet.class_embedding.weight; is it of another network?"),
        ({"add_attention": True, "attention_head_dim": None, "layers_per_block": 1}, "unet.mid_block.attentions.0"),
        ({"norm_num_groups": 3}, "diffusers cannot make this network"),
    ],
)
def test_weights_of_other_sizes_are_refused_in_a_line(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    if "norm_num_groups" in changes:
        unet().save_pretrained(tmp_path / "other")
        path = tmp_path / "other" / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    else:
        unet(**changes).save_pretrained(tmp_path / "other")
    for device in ("meta", "cpu"):
        with torch.device(device), pytest.raises(DataError) as told:
            family(tmp_path / "other").task(SHARD, Cosine()).objective(0)
        assert words in str(told.value)
        assert "\n" not in str(told.value)


def test_missing_and_extra_names_stand_in_one_line(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "cut")
    file = tmp_path / "cut" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["more"] = tensors.pop("conv_in.weight")
    save_file(tensors, file)
    with pytest.raises(DataError, match=r"lacks unet.conv_in.weight, and holds, beyond the network, unet.more; is it"):
        family(tmp_path / "cut").task(SHARD, Cosine()).objective(0)


def test_what_is_no_network_to_start_from_is_refused_in_a_line(saved: Path, tmp_path: Path) -> None:
    def told(folder: Path) -> MixvelError:
        with pytest.raises(MixvelError) as caught:
            family(folder).task(SHARD, Cosine()).objective(0)
        assert "\n" not in str(caught.value)
        return caught.value

    assert "holds no config.json; name a folder that diffusers wrote" in str(told(tmp_path))
    shutil.copytree(saved, tmp_path / "other")
    (tmp_path / "other/config.json").write_text(json.dumps({"_class_name": "AutoencoderKL"}))
    assert "holds AutoencoderKL; expert unet starts from UNet2DModel" in str(told(tmp_path / "other"))
    (tmp_path / "other/config.json").write_text(json.dumps({"expert": {"use": "dit"}}))
    (tmp_path / "other/model.safetensors").touch()
    assert "is of an expert dit; expert unet starts from one of its own kind" in str(told(tmp_path / "other"))
    shutil.copytree(saved, tmp_path / "pickled")
    pickle = tmp_path / "pickled" / "diffusion_pytorch_model.safetensors"
    pickle.rename(pickle.with_suffix(".bin"))
    assert "as a pickle, which is not read" in str(told(tmp_path / "pickled"))
