"""Transformers of patches: what they learn on images whose denoisers are known, their weights, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve
from diffusers import DiTTransformer2DModel
from torch import Tensor
from trainable import StoppedError, run, stop_at

from mixvel_core.errors import DataError, RecipeError
from mixvel_core.field.conversions import point_for
from mixvel_core.protocols import Condition, ConditionSpec, ExpertConfig, Job
from mixvel_core.recipe.build import build
from mixvel_core.sampling.dispatch import members
from mixvel_core.testing.problems import MemoryShard
from mixvel_core.training.checkpoint import read_trained, trained_path
from mixvel_core.training.options import TrainOptions
from mixvel_networks.inputs import NetworkInputs
from mixvel_networks.transformer import make_pooled_transformer
from mixvel_networks.transformer_size import TransformerSize
from mixvel_schedules.schedules import Cosine
from mixvel_transformers.family import DiTFamily

SPECS = (ConditionSpec(name="class", classes=2),)
LEVELS = (-0.5, 0.5)
SHAPE = (1, 4, 4)
SIZE = TransformerSize(patch=2, width=16, depth=1, heads=2)


def constant(levels: tuple[float, ...] = LEVELS, index: int = 0, count: int = 8) -> MemoryShard:
    """Half of the images are at one level, class 0, and half at the other, class 1."""
    labels = np.arange(count) % 2
    items = np.broadcast_to(np.asarray(levels, np.float32)[labels][:, None, None, None], (count, *SHAPE))
    return MemoryShard(index=index, items=items, conditions=SPECS, values={"class": labels})


def family(steps: int = 4, **changes: Any) -> DiTFamily:
    train = TrainOptions(
        steps=steps, batch=32, warmup=5, learning_rate=1e-2, ema=0.9, condition_dropout=0.3, checkpoint_every=2
    )
    return DiTFamily(**{"width": 16, "depth": 1, "heads": 2, "prediction": "x0", "train": train, **changes})


def config_of(shard: MemoryShard) -> ExpertConfig:
    return ExpertConfig(index=shard.index, count=8, fraction=0.5, shape=SHAPE, conditions=shard.conditions)


def points(count: int = 12) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    t = torch.linspace(0.3, 0.95, count)
    p = point_for(Cosine(), t, torch.zeros(count, *SHAPE))
    x_0 = torch.tensor(LEVELS).repeat(count // 2)[:, None, None, None].expand(count, *SHAPE)
    return p.alpha * x_0 + p.sigma * torch.randn(count, *SHAPE, generator=generator), t


def classes(c: int, count: int) -> Condition:
    return Condition(values={"class": torch.full((count,), c)})


def test_training_gives_the_denoiser_of_each_class(tmp_path: Path) -> None:
    made, shard = family(150), constant()
    run(Job(name="expert-0", task=made.task(shard, Cosine()), seed=0, folder=tmp_path))
    expert = made.load(config_of(shard), made.tensors(shard, read_trained(tmp_path)), Cosine())
    x, t = points()
    for c, level in enumerate(LEVELS):
        assert (expert.given(classes(c, len(x))).denoise(x, t) - level).abs().mean() < 0.1
    with torch.no_grad():
        rows = torch.cat([expert.denoise(x[i : i + 1], t[i : i + 1]) for i in range(len(x))])
    torch.testing.assert_close(rows, expert.denoise(x, t), rtol=1e-4, atol=1e-5)


def test_one_transformer_learns_the_classes_of_every_shard(tmp_path: Path) -> None:
    levels = ((-0.8, 0.2), (0.8, -0.2))
    shards = [constant(one, index=k) for k, one in enumerate(levels)]
    made = family(150, shared=True)
    run(Job(name="experts", task=made.shared_task(shards, Cosine()), seed=0, folder=tmp_path))
    configs = [config_of(shard) for shard in shards]
    group = made.load_shared(configs, made.shared_tensors(shards, read_trained(tmp_path)), Cosine())
    x, t = points()
    for expert, own in zip(members(group, 2), levels, strict=True):
        for c, level in enumerate(own):
            assert (expert.given(classes(c, len(x))).denoise(x, t) - level).abs().mean() < 0.15


def test_nothing_is_drawn_from_torchs_own_generator_and_resumed_training_is_the_same(tmp_path: Path) -> None:
    """Its table of classes drops classes by that generator, unless that is turned off."""
    task = family(4).task(constant(), Cosine())
    for seed, name in ((1, "one"), (2, "other")):
        torch.manual_seed(seed)
        run(Job(name="expert-0", task=task, seed=0, folder=tmp_path / name))
    job = Job(name="expert-0", task=task, seed=0, folder=tmp_path / "resumed")
    with pytest.raises(StoppedError):
        run(job, stop_at(2))
    run(job)
    one, *others = (trained_path(tmp_path / name).read_bytes() for name in ("one", "other", "resumed"))
    assert others == [one, one]


def diffusers_dit(**changes: Any) -> DiTTransformer2DModel:
    torch.manual_seed(0)
    sizes = {"num_attention_heads": 2, "attention_head_dim": 8, "in_channels": 1, "out_channels": 1, "num_layers": 1}
    made = DiTTransformer2DModel(**{**sizes, "sample_size": 4, "patch_size": 2, "num_embeds_ada_norm": 2, **changes})
    assert isinstance(made, DiTTransformer2DModel)
    return made


def test_it_starts_from_a_folder_of_diffusers_and_computes_the_same(tmp_path: Path) -> None:
    theirs = diffusers_dit(norm_eps=1e-3).eval()
    theirs.save_pretrained(tmp_path / "dit")
    made = family(initial=tmp_path / "dit")
    network = made.task(constant(), Cosine()).objective(5).network.eval()
    x, t = points()
    c = torch.arange(12) % 3
    with torch.no_grad():
        wanted = theirs(x, timestep=1000.0 * t, class_labels=c, return_dict=False)[0]
        assert torch.equal(network(x, t, c), wanted)
    diffusers_dit(num_layers=2).save_pretrained(tmp_path / "deeper")
    with pytest.raises(DataError, match=r"transformer_blocks\.1"):
        family(initial=tmp_path / "deeper").task(constant(), Cosine()).objective(0)


def test_it_is_zero_at_the_beginning_and_a_network_of_sigma_is_refused(tmp_path: Path) -> None:
    network = family().make(SHAPE, NetworkInputs(conditions=SPECS), 0, "expert dit")
    x, t = points()
    assert not network(x, t, torch.zeros(12, dtype=torch.int64)).any()
    diffusers_dit(out_channels=2).save_pretrained(tmp_path / "sigma")
    with pytest.raises(DataError, match="proj_out_2"):
        family(initial=tmp_path / "sigma").task(constant(), Cosine()).objective(0)


def test_the_pooled_transformer_reads_classes_and_begins_at_zero() -> None:
    network = make_pooled_transformer(SIZE, SHAPE, 3, 0, "router dit", classes=2)
    x, t = points()
    c = torch.arange(12) % 3
    assert network(x, t, c).shape == (12, 3)
    assert not network(x, t, c).any()
    torch.nn.init.normal_(network.head.weight)
    # Blocks pass their input on until they have learned something.
    for block in network.blocks:
        torch.nn.init.normal_(block.norm1.linear.weight, std=0.1)
    assert not torch.equal(network(x, t, c), network(x, t, (c + 1) % 3))
    assert torch.equal(network(x, t), network(x, t, torch.full((12,), 2)))


@pytest.mark.parametrize(
    ("shape", "message"),
    [((3,), "needs images"), ((1, 4, 6), "squares of patches of 2"), ((1, 5, 5), "set `pad` of the data")],
)
def test_items_that_are_no_squares_of_patches_are_refused(shape: tuple[int, ...], message: str) -> None:
    shard = MemoryShard(items=np.zeros((4, *shape), np.float32))
    with pytest.raises(RecipeError, match=message):
        family().task(shard, Cosine())


def test_heads_that_do_not_share_the_width_and_numbers_are_refused() -> None:
    with pytest.raises(RecipeError, match="width must be a multiple of 2 \\* heads, 8, not 12"):
        build("expert", "dit", {"width": 12, "heads": 4})
    specs = (ConditionSpec(name="level", shape=(1,)),)
    shard = evolve(constant(), conditions=specs, values={"level": np.zeros((8, 1), np.float32)})
    with pytest.raises(RecipeError, match="reads classes alone"):
        family().task(shard, Cosine())
