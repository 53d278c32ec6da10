"""U-Net experts from shard to denoiser, and their isolation."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from trainable import run

from mixvel_core.errors import ArtifactError
from mixvel_core.protocols import ExpertConfig, Job, Shard
from mixvel_core.randomness import key
from mixvel_core.testing.problems import MemoryShard
from mixvel_core.training.checkpoint import read_trained, trained_path
from mixvel_core.training.log import read_losses
from mixvel_core.training.options import TrainOptions
from mixvel_schedules.schedules import Cosine
from mixvel_unet.family import UNetFamily


class Forbidden:
    """Stands where another shard would be: whatever is asked of it, it refuses."""

    def __getattribute__(self, name: str) -> NoReturn:
        raise PermissionError(f"another shard was asked for {name}")


def family(steps: int = 6, **changes: Any) -> UNetFamily:
    train = TrainOptions(steps=steps, batch=8, warmup=2, learning_rate=3e-3, checkpoint_every=3, log_every=2)
    return UNetFamily(channels=(4, 8), train=train, **changes)


def shards() -> list[MemoryShard]:
    rng = np.random.default_rng(0)
    return [MemoryShard(index=k, items=rng.integers(0, 256, (7 + k, 1, 4, 6), np.uint8)) for k in range(3)]


def train_expert(collection: list[Any], k: int, folder: Path) -> bytes:
    shard: Shard = collection[k]
    task = family().task(shard, Cosine())
    run(Job(name=f"expert-{k}", task=task, seed=key(0, "expert", k), folder=folder))
    return trained_path(folder).read_bytes()


def config(shard: Shard) -> ExpertConfig:
    return ExpertConfig(index=shard.index, count=shard.count, fraction=shard.fraction, shape=shard.shape)


@pytest.mark.parametrize("k", [0, 1, 2])
def test_training_one_expert_reads_no_other_shard(tmp_path: Path, k: int) -> None:
    together = train_expert(list(shards()), k, tmp_path / "together")
    alone = train_expert([s if s.index == k else Forbidden() for s in shards()], k, tmp_path / "alone")
    assert alone == together


def test_a_trained_expert_comes_back_from_its_tensors(tmp_path: Path) -> None:
    shard = shards()[1]
    train_expert([*shards()], 1, tmp_path)
    trained = read_trained(tmp_path)
    tensors = family().tensors(shard, trained)
    before = torch.get_rng_state()
    expert = family().load(config(shard), tensors, Cosine())
    assert torch.equal(torch.get_rng_state(), before)
    x, t = torch.randn(5, *shard.shape), torch.linspace(0.1, 1, 5)
    m = expert.denoise(x, t)
    assert m.shape == x.shape
    assert m.dtype == x.dtype
    assert m.abs().max() <= 1
    clean = shard.items[:] / 127.5 - 1
    assert expert.moments is not None
    np.testing.assert_allclose(expert.moments.mean.numpy(), clean.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(expert.moments.variance.numpy(), clean.var(axis=0), atol=1e-6)
    # With the identity of V4 by hand: m = alpha x - sigma v for v-prediction under a VP schedule.
    network = family().task(shard, Cosine()).objective(3).network
    network.load_state_dict(dict(trained))
    alpha, sigma = torch.cos(torch.pi * t / 2), torch.sin(torch.pi * t / 2)
    with torch.no_grad():
        v = network(x, t)
    by_hand = alpha[:, None, None, None] * x - sigma[:, None, None, None] * v
    torch.testing.assert_close(m, by_hand.clamp(-1, 1), rtol=1e-4, atol=1e-5)
    assert not m.requires_grad


def test_learning_lowers_the_loss(tmp_path: Path) -> None:
    items = np.full((4, 1, 2, 2), 0.5, np.float32)
    task = family(steps=80, prediction="x0").task(MemoryShard(items=items), Cosine())
    run(Job(name="expert", task=task, seed=0, folder=tmp_path))
    loss = read_losses(tmp_path / "losses.csv")["loss"]
    assert loss[-1] < 0.1 * loss[0]


def test_weights_of_another_network_are_refused() -> None:
    shard = shards()[0]
    trained = family().task(shard, Cosine()).objective(0).network.state_dict()
    tensors = dict(family().tensors(shard, trained))
    wider = UNetFamily(channels=(8, 8))
    with pytest.raises(ArtifactError, match=r"expert 0: made for another network: unet\.conv_in\.weight is float32"):
        wider.load(config(shard), tensors, Cosine())
    other = ExpertConfig(index=0, count=7, fraction=1.0, shape=(1, 8, 8))
    with pytest.raises(ArtifactError, match=r"expert 0: made for another network: mean is float32 \(1, 4, 6\)"):
        family().load(other, tensors, Cosine())
    del tensors["mean"]
    with pytest.raises(ArtifactError, match="mean is missing"):
        family().load(config(shard), tensors, Cosine())


def test_an_untrained_expert_is_an_error() -> None:
    with pytest.raises(ArtifactError, match="expert 0: its network is not trained"):
        family().tensors(shards()[0], None)
