"""U-Nets that read tokens: what they learn from them, the folder of diffusers they start from, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve
from diffusers import UNet2DConditionModel
from torch import Tensor
from trainable import run

from mixvel_core.errors import RecipeError
from mixvel_core.field.conversions import point_for
from mixvel_core.protocols import Condition, ConditionSpec, ExpertConfig, Job
from mixvel_core.testing.problems import MemoryShard
from mixvel_core.training.checkpoint import read_trained
from mixvel_core.training.options import TrainOptions
from mixvel_networks.inputs import NetworkInputs
from mixvel_schedules.schedules import Cosine
from mixvel_unet.token_family import UNetConditionFamily

SHAPE = (1, 4, 4)
TEXT = ConditionSpec(name="text", shape=(3, 4))
EMBEDDINGS = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
"""Of two texts, three tokens each."""
LEVELS = (-0.5, 0.5)


def shard(count: int = 8) -> MemoryShard:
    """Constant images at the level that their text stands for."""
    which = np.arange(count) % 2
    items = np.broadcast_to(np.asarray(LEVELS, np.float32)[which][:, None, None, None], (count, *SHAPE))
    return MemoryShard(items=items, conditions=(TEXT,), values={"text": EMBEDDINGS[which]})


def family(steps: int = 4, **changes: Any) -> UNetConditionFamily:
    train = TrainOptions(steps=steps, batch=32, warmup=5, learning_rate=1e-2, ema=0.9, condition_dropout=0.2)
    return UNetConditionFamily(channels=(8, 8), prediction="x0", train=train, **changes)


def points() -> tuple[Tensor, Tensor]:
    t = torch.linspace(0.5, 0.95, 8)
    p = point_for(Cosine(), t, torch.zeros(8, *SHAPE))
    x_0 = torch.tensor(LEVELS).repeat(4)[:, None, None, None].expand(8, *SHAPE)
    return p.alpha * x_0 + p.sigma * torch.randn(8, *SHAPE, generator=torch.Generator().manual_seed(0)), t


def test_training_gives_the_denoiser_of_each_text(tmp_path: Path) -> None:
    made, data = family(120), shard()
    run(Job(name="expert-0", task=made.task(data, Cosine()), seed=0, folder=tmp_path))
    config = ExpertConfig(index=0, count=8, fraction=1.0, shape=SHAPE, conditions=data.conditions)
    expert = made.load(config, made.tensors(data, read_trained(tmp_path)), Cosine())
    x, t = points()
    for text, level in zip(EMBEDDINGS, LEVELS, strict=True):
        under = Condition(values={"text": torch.from_numpy(text).expand(8, 3, 4)})
        assert (expert.given(under).denoise(x, t) - level).abs().mean() < 0.12
    assert expert.null is not None
    assert torch.equal(expert.denoise(x, t), expert.given(expert.null.repeated(8)).denoise(x, t))


def test_it_starts_from_a_folder_of_diffusers_and_computes_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = UNet2DConditionModel(
        sample_size=4,
        in_channels=1,
        out_channels=1,
        block_out_channels=(8, 8),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=4,
        attention_head_dim=2,
        norm_num_groups=2,
        norm_eps=1e-3,
        flip_sin_to_cos=False,
    ).eval()
    theirs.save_pretrained(tmp_path / "unet")
    network = family(initial=tmp_path / "unet").task(shard(), Cosine()).objective(1).network.eval()
    x, t = points()
    text = torch.from_numpy(EMBEDDINGS[np.arange(8) % 2])
    with torch.no_grad():
        wanted = theirs(x, 1000.0 * t, encoder_hidden_states=text, return_dict=False)[0]
        assert torch.equal(network(x, t, text), wanted)


def test_classes_are_read_beside_tokens() -> None:
    inputs = NetworkInputs(conditions=(ConditionSpec(name="class", classes=2), TEXT))
    x, t = points()
    c = Condition(values={"class": torch.arange(8) % 3, "text": torch.randn(8, 3, 4)})
    label, tokens = inputs.of(x, None, c)
    assert (label.shape, tokens.shape) == ((8,), (8, 3, 4))
    network = family().make(SHAPE, inputs, 0, "expert unet-condition")
    assert not torch.allclose(network(x, t, label, tokens), network(x, t, (label + 1) % 3, tokens), atol=1e-5)
    assert not torch.allclose(network(x, t, label, tokens), network(x, t, label, tokens.flip(0)), atol=1e-5)


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ((), "it reads tokens"),
        ((ConditionSpec(name="level", shape=(2,)),), "it reads tokens"),
        ((TEXT, ConditionSpec(name="level", shape=(2,))), "no vectors; give them as tokens"),
        ((TEXT, ConditionSpec(name="more", shape=(1, 4))), "one sequence of tokens, not text, more; join them"),
        ((ConditionSpec(name="film", shape=(2, 3, 4)),), "it reads classes, vectors .D,. and tokens .L, D."),
    ],
)
def test_conditions_that_it_does_not_read(specs: tuple[ConditionSpec, ...], message: str) -> None:
    values = {spec.name: np.zeros((8, *spec.shape), np.float32) for spec in specs}
    with pytest.raises(RecipeError, match=message):
        family().task(evolve(shard(), conditions=specs, values=values), Cosine())
