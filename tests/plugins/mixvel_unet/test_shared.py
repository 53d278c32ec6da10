"""One U-Net for all shards: its task, its tensors, and that expert k is the network with label k."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from trainable import run

from mixvel_core.errors import ArtifactError
from mixvel_core.field.conversions import denoiser, point_for
from mixvel_core.protocols import Batch, ExpertConfig, Job
from mixvel_core.sampling.dispatch import members
from mixvel_core.testing.problems import MemoryShard
from mixvel_core.training.checkpoint import read_trained
from mixvel_core.training.options import TrainOptions
from mixvel_networks.architecture import Architecture
from mixvel_networks.denoiser import LEAST_ALPHA, LabelledDenoiser, NetworkDenoiser
from mixvel_networks.unet import make_unet
from mixvel_schedules.schedules import Cosine
from mixvel_unet.family import UNetFamily

K = 3
SHAPE = (1, 4, 6)


def family(steps: int = 4, **changes: Any) -> UNetFamily:
    train = TrainOptions(steps=steps, batch=8, warmup=2, learning_rate=3e-3, checkpoint_every=3, log_every=2)
    return UNetFamily(channels=(4, 8), shared=True, train=train, **changes)


def shards() -> list[MemoryShard]:
    rng = np.random.default_rng(0)
    return [MemoryShard(index=k, items=rng.integers(0, 256, (7 + k, *SHAPE), np.uint8)) for k in range(K)]


def configs(of: list[MemoryShard]) -> list[ExpertConfig]:
    return [ExpertConfig(index=s.index, count=s.count, fraction=s.fraction, shape=s.shape) for s in of]


def tensors(made: UNetFamily, seed: int = 5) -> dict[str, Tensor]:
    """As a training that has not begun would leave them."""
    network = made.shared_task(shards(), Cosine()).objective(seed).network
    return dict(made.shared_tensors(shards(), network.state_dict()))


def group(made: UNetFamily) -> LabelledDenoiser:
    return made.load_shared(configs(shards()), tensors(made), Cosine())


def probes(count: int = 12) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(count, *SHAPE, generator=generator),
        torch.linspace(0.05, 1.0, count),
        torch.randint(K, (count,), generator=generator),
    )


@pytest.mark.parametrize("prediction", ["x0", "eps", "v", "flow"])
def test_expert_k_is_the_network_with_label_k(prediction: Any) -> None:
    made = family(prediction=prediction, clip=False)
    network = made.shared_task(shards(), Cosine()).objective(5).network.eval()
    x, t, _ = probes()
    p = point_for(Cosine(), t, x)
    for k, (expert, shard) in enumerate(zip(members(group(made), K), shards(), strict=True)):
        with torch.no_grad():
            output = network(x, t, torch.full((len(x),), k))
        wanted = denoiser(prediction, output, x, p)
        if prediction == "eps":
            mean = torch.from_numpy((shard.items[:] / 127.5 - 1).mean(axis=0, dtype=np.float64).astype(np.float32))
            wanted = torch.where(p.alpha < LEAST_ALPHA, mean, wanted)
        found = expert.denoise(x, t)
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)
        assert not found.requires_grad


def test_labels_make_a_difference_and_rows_do_not() -> None:
    made = group(family(clip=False))
    x, t, k = probes()
    every = torch.stack([expert.denoise(x, t) for expert in members(made, K)])
    assert (every[0] - every[1]).abs().max() > 1e-3
    together = made.denoise(x, t, k)
    torch.testing.assert_close(together, every[k, torch.arange(len(x))], rtol=1e-4, atol=1e-5)


def test_the_loss_asks_each_item_with_its_own_label() -> None:
    class Telling(nn.Module):
        """Answers the label, whatever it sees."""

        def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
            return labels[:, None, None, None].to(x.dtype).expand_as(x)

    objective = family(prediction="x0").shared_task(shards(), Cosine()).objective(0)
    labels = torch.tensor([2, 0, 1, 2])
    x_0 = labels[:, None, None, None].float().expand(4, *SHAPE)
    right = Batch(x_0=x_0, shard=labels, t=torch.full((4,), 0.5), eps=torch.randn(4, *SHAPE), progress=0.0)
    wrong = Batch(x_0=x_0, shard=labels.flip(0), t=right.t, eps=right.eps, progress=0.0)
    assert objective.losses(Telling(), right)["loss"] == 0
    assert objective.losses(Telling(), wrong)["loss"] == pytest.approx(0.5)


def test_one_training_learns_every_shard(tmp_path: Path) -> None:
    """Shards of one image each: the exact denoiser of shard k is that image, whatever x."""
    levels = (-0.6, 0.0, 0.6)
    of = [MemoryShard(index=k, items=np.full((2 + k, 1, 2, 2), v, np.float32)) for k, v in enumerate(levels)]
    train = TrainOptions(steps=150, batch=24, warmup=5, learning_rate=1e-2, ema=0.9)
    made = UNetFamily(channels=(8,), prediction="x0", shared=True, train=train)
    run(Job(name="experts", task=made.shared_task(of, Cosine()), seed=0, folder=tmp_path))
    found = made.load_shared(configs(of), made.shared_tensors(of, read_trained(tmp_path)), Cosine())
    x, t = torch.randn(6, 1, 2, 2, generator=torch.Generator().manual_seed(0)), torch.linspace(0.7, 1.0, 6)
    for expert, level in zip(members(found, 3), levels, strict=True):
        assert (expert.denoise(x, t) - level).abs().mean() < 0.15


def test_permuted_shards_and_labels_are_the_same_experts() -> None:
    """Rows of the embedding and moments permuted together are experts permuted."""
    made, order = family(), [2, 0, 1]
    stored = tensors(made)
    rows = "network.unet.class_embedding.weight"
    turned = {n: v[order] if n in (rows, "mean", "variance") else v for n, v in stored.items()}
    one = made.load_shared(configs(shards()), stored, Cosine())
    other = made.load_shared(configs([shards()[k] for k in order]), turned, Cosine())
    x, t, k = probes()
    assert torch.equal(other.denoise(x, t, k), one.denoise(x, t, torch.tensor(order)[k]))
    for place, k_before in enumerate(order):
        assert torch.equal(other.moments(place).mean, one.moments(k_before).mean)


def test_a_foreign_file_is_refused() -> None:
    made = family()
    stored = tensors(made)
    two = configs(shards())[:2]
    with pytest.raises(ArtifactError, match=r"one network: made for another network: mean is float32 \(3, 1, 4, 6\)"):
        made.load_shared(two, stored, Cosine())
    fewer = {n: v[:2] if n in ("mean", "variance") else v for n, v in stored.items()}
    with pytest.raises(ArtifactError, match=r"class_embedding\.weight is float32 \(3, 16\) where float32 \(2, 16\)"):
        made.load_shared(two, fewer, Cosine())
    for absent in ("mean", "network.unet.class_embedding.weight"):
        with pytest.raises(ArtifactError, match="is missing"):
            made.load_shared(configs(shards()), {n: v for n, v in stored.items() if n != absent}, Cosine())
    # And neither kind of expert takes the other's file.
    with pytest.raises(ArtifactError, match="mean is float32"):
        made.load(configs(shards())[0], stored, Cosine())
    alone = dict(made.tensors(shards()[0], made.task(shards()[0], Cosine()).objective(0).network.state_dict()))
    with pytest.raises(ArtifactError, match="mean is float32"):
        made.load_shared(configs(shards()), alone, Cosine())


def test_the_monolith_takes_no_notice() -> None:
    whole = MemoryShard(index=-1, items=shards()[0].items)
    plain = UNetFamily(channels=(4, 8))
    networks = [made.task(whole, Cosine()).objective(1).network.state_dict() for made in (family(), plain)]
    assert networks[0].keys() == networks[1].keys()
    assert all(torch.equal(networks[0][name], networks[1][name]) for name in networks[0])
    weights = family().tensors(whole, networks[0])
    config = ExpertConfig(index=-1, count=whole.count, fraction=1.0, shape=SHAPE)
    assert isinstance(family().load(config, weights, Cosine()), NetworkDenoiser)


def test_labels_leave_the_other_initial_weights_alone() -> None:
    """A network without labels starts where it always did; one with labels has the embedding besides."""
    architecture = Architecture(channels=(4, 8))
    plain = make_unet(architecture, SHAPE, 1, 7, "test").state_dict()
    labelled = make_unet(architecture, SHAPE, 1, 7, "test", labels=K).state_dict()
    assert set(labelled) - set(plain) == {"unet.class_embedding.weight"}
    assert labelled["unet.class_embedding.weight"].shape == (K, 16)


def test_tuned_once_for_all_experts() -> None:
    made = group(family())
    tuned = made.tuned(channels_last=True, compiled=False)
    x, t, k = probes()
    torch.testing.assert_close(tuned.denoise(x, t, k), made.denoise(x, t, k), rtol=1e-4, atol=1e-5)
    assert tuned.network is not made.network
    assert all(expert.group is tuned for expert in members(tuned, K))
