"""U-Nets with classes: what they learn on two classes of constant images, whose denoisers are known in closed form."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve
from torch import Tensor
from trainable import CPU, StoppedError, run, stop_at

from mixvel_core.errors import ArtifactError, RecipeError
from mixvel_core.field.conversions import point_for
from mixvel_core.protocols import Condition, ConditionSpec, ExpertConfig, Job
from mixvel_core.sampling.dispatch import members
from mixvel_core.testing.problems import MemoryShard
from mixvel_core.training.batches import Batches
from mixvel_core.training.checkpoint import read_trained
from mixvel_core.training.options import TrainOptions
from mixvel_core.training.world import World
from mixvel_schedules.schedules import Cosine
from mixvel_unet.family import UNetFamily

SPECS = (ConditionSpec(name="class", classes=2, labels=("dark", "light")),)
LEVELS = (-0.5, 0.5)
SHAPE = (1, 2, 2)


def constant(levels: tuple[float, ...] = LEVELS, index: int = 0, count: int = 8) -> MemoryShard:
    """Half of the images are at one level, class 0, and half at the other, class 1."""
    labels = np.arange(count) % 2
    items = np.broadcast_to(np.asarray(levels, np.float32)[labels][:, None, None, None], (count, *SHAPE))
    return MemoryShard(index=index, items=items, conditions=SPECS, values={"class": labels})


def family(steps: int = 4, **changes: Any) -> UNetFamily:
    train = TrainOptions(steps=steps, batch=32, warmup=5, learning_rate=1e-2, ema=0.9, condition_dropout=0.3)
    return UNetFamily(channels=(8,), prediction="x0", train=train, **changes)


def config_of(shard: MemoryShard) -> ExpertConfig:
    return ExpertConfig(index=shard.index, count=8, fraction=0.5, shape=SHAPE, conditions=shard.conditions)


def classes(c: int, count: int) -> Condition:
    return Condition(values={"class": torch.full((count,), c)})


def points(levels: tuple[float, ...] = LEVELS) -> tuple[Tensor, Tensor]:
    """Noised images of both levels."""
    generator = torch.Generator().manual_seed(0)
    t = torch.linspace(0.3, 0.95, 12)
    p = point_for(Cosine(), t, torch.zeros(12, *SHAPE))
    x_0 = torch.tensor(levels).repeat(6)[:, None, None, None].expand(12, *SHAPE)
    return p.alpha * x_0 + p.sigma * torch.randn(12, *SHAPE, generator=generator), t


def exact_null(x: Tensor, t: Tensor, levels: tuple[float, ...] = LEVELS) -> Tensor:
    """sum_c p(c | x) level_c."""
    p = point_for(Cosine(), t, x)
    log = torch.stack([-((x - p.alpha * v) ** 2).sum((1, 2, 3)) / (2 * p.sigma.reshape(-1) ** 2) for v in levels], 1)
    return (log.softmax(1) @ torch.tensor(levels))[:, None, None, None].expand_as(x)


def test_the_gradient_of_the_loss_reaches_the_class_and_null_rows_that_a_batch_has() -> None:
    made = family()
    task = made.task(constant(), Cosine())
    objective = task.objective(0)
    batch = Batches(Job(name="x", task=task, seed=0, folder=Path()), CPU, World()).at(0)
    assert batch.condition is not None
    network: Any = objective.network
    assert network.unet.class_embedding.weight.shape == (3, 32)
    for c in (0, 1, 2):
        network.zero_grad()
        some = batch.rows(slice(0, 5))
        loss = objective.losses(network, evolve(some, condition=classes(c, 5)))["loss"]
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it without annotations
        reached = network.unet.class_embedding.weight.grad.abs().sum(1) > 0
        assert reached.tolist() == [row == c for row in range(3)]


def test_training_gives_the_denoiser_of_each_class_and_of_both(tmp_path: Path) -> None:
    made, shard = family(250), constant()
    made = evolve(made, train=evolve(made.train, condition_dropout=0.5))
    run(Job(name="expert-0", task=made.task(shard, Cosine()), seed=0, folder=tmp_path))
    expert = made.load(config_of(shard), made.tensors(shard, read_trained(tmp_path)), Cosine())
    x, t = points()
    for c, level in enumerate(LEVELS):
        assert (expert.given(classes(c, len(x))).denoise(x, t) - level).abs().mean() < 0.08
    assert (expert.denoise(x, t) - exact_null(x, t)).abs().mean() < 0.12
    # Rows of different classes beside each other.
    both = expert.given(Condition(values={"class": torch.arange(len(x)) % 2})).denoise(x, t)
    torch.testing.assert_close(both[1::2], expert.given(classes(1, 6)).denoise(x[1::2], t[1::2]), rtol=1e-4, atol=1e-5)


def test_one_network_learns_the_classes_of_every_shard(tmp_path: Path) -> None:
    levels = ((-0.8, 0.2), (0.8, -0.2))
    shards = [constant(one, index=k) for k, one in enumerate(levels)]
    made = family(120, shared=True)
    run(Job(name="experts", task=made.shared_task(shards, Cosine()), seed=0, folder=tmp_path))
    configs = [config_of(shard) for shard in shards]
    group = made.load_shared(configs, made.shared_tensors(shards, read_trained(tmp_path)), Cosine())
    for expert, own in zip(members(group, 2), levels, strict=True):
        x, t = points(own)
        for c, level in enumerate(own):
            assert (expert.given(classes(c, len(x))).denoise(x, t) - level).abs().mean() < 0.1


def test_numbers_are_learnt_too(tmp_path: Path) -> None:
    """The level itself as a number: the denoiser given it is that level, also where no item has it."""
    values = np.linspace(-0.8, 0.8, 16, dtype=np.float32)
    items = np.broadcast_to(values[:, None, None, None], (16, *SHAPE))
    specs = (ConditionSpec(name="level", shape=(1,)),)
    shard = MemoryShard(items=items, conditions=specs, values={"level": values[:, None]})
    made = family(120)
    run(Job(name="expert-0", task=made.task(shard, Cosine()), seed=0, folder=tmp_path))
    expert = made.load(config_of(shard), made.tensors(shard, read_trained(tmp_path)), Cosine())
    x, t = points()
    level = torch.linspace(-0.7, 0.7, 12)
    found = expert.given(Condition(values={"level": level[:, None]})).denoise(x, t)
    assert (found.mean((1, 2, 3)) - level).abs().mean() < 0.12


def test_a_stopped_training_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    made = family(12)
    options = evolve(made.train, checkpoint_every=4, batch=6, held_out=0.25)
    task = evolve(made, train=options).task(constant(), Cosine())
    run(Job(name="expert-0", task=task, seed=4, folder=tmp_path / "a"))
    cut = Job(name="expert-0", task=task, seed=4, folder=tmp_path / "b")
    with pytest.raises(StoppedError):
        run(cut, stop_at(7))
    run(cut)
    for name in ("trained.safetensors", "losses.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_parts_of_a_batch_give_the_same_weights(tmp_path: Path) -> None:
    made = family(4)
    trained = []
    for part in (None, 5):
        task = evolve(made, train=evolve(made.train, microbatch=part)).task(constant(), Cosine())
        run(Job(name="expert-0", task=task, seed=4, folder=tmp_path / str(part)))
        trained.append(read_trained(tmp_path / str(part)))
    for name, value in trained[0].items():
        torch.testing.assert_close(trained[1][name], value, rtol=1e-3, atol=1e-4)


def test_weights_of_other_conditions_are_refused() -> None:
    made, shard = family(), constant()
    tensors = made.tensors(shard, made.task(shard, Cosine()).objective(0).network.state_dict())
    for specs in ((), (ConditionSpec(name="class", classes=3),)):
        with pytest.raises(ArtifactError, match="expert 0"):
            made.load(evolve(config_of(shard), conditions=specs), tensors, Cosine())


def test_embeddings_of_texts_are_refused_before_a_training() -> None:
    shard = MemoryShard(items=np.zeros((4, *SHAPE), np.float32), conditions=(ConditionSpec(name="text", shape=(7, 3)),))
    with pytest.raises(RecipeError, match="expert unet: condition text has values of shape"):
        family().task(shard, Cosine())


def test_tasks_travel_as_they_are() -> None:
    task = pickle.loads(pickle.dumps(family().task(constant(), Cosine())))
    assert task.conditions == SPECS
    assert task.condition_values()["class"].tolist() == [0, 1] * 4
