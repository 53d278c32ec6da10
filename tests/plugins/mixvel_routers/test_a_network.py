"""The learned posterior against the exact one, and the routers that take a class or nothing from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from attrs import evolve
from torch import Tensor
from trainable import CPU, byte_shards, router_config, run
from whole_runs import TRAINED, recipe_of

from mixvel_core.errors import ArtifactError, RecipeError
from mixvel_core.field.posterior import PosteriorEngine
from mixvel_core.protocols import Batch, Job, Router, RouterConfig
from mixvel_core.recipe.dump import dump
from mixvel_core.testing.problems import MemoryShard
from mixvel_core.training.batches import Batches
from mixvel_core.training.checkpoint import read_trained
from mixvel_core.training.options import TrainOptions
from mixvel_core.training.world import World
from mixvel_routers.a_family import ANetworkFamily, DiTRouterFamily
from mixvel_routers.a_network import Classification, NaiveFamily, NaiveRouter
from mixvel_routers.fixed import FixedFamily
from mixvel_schedules.schedules import Cosine


def family(steps: int = 4, width: int = 16, rate: float = 1e-3) -> ANetworkFamily:
    train = TrainOptions(steps=steps, batch=64, warmup=2, learning_rate=rate, ema=0.98, checkpoint_every=steps)
    return ANetworkFamily(channels=(4, 8), width=width, depth=2, train=train)


def posterior(x: Tensor, t: Tensor) -> Tensor:
    """D2 for point masses of weight 3/4 at -1 and 1/4 at +1, in one dimension."""
    alpha, sigma = torch.cos(torch.pi * t / 2), torch.sin(torch.pi * t / 2)
    logits = torch.stack([-((x[:, 0] - alpha * s) ** 2) / (2 * sigma**2) for s in (-1, 1)], dim=1)
    return (logits + torch.tensor([0.75, 0.25]).log()).softmax(dim=1)


def test_the_network_learns_the_posterior(tmp_path: Path) -> None:
    shards = [MemoryShard(index=k, items=np.full((n, 1), s, np.float32)) for k, (n, s) in enumerate([(3, -1), (1, 1)])]
    learner = family(steps=400, width=32, rate=1e-2)
    task = learner.tasks(shards, Cosine())["a"]
    run(Job(name="router-a", task=task, seed=0, folder=tmp_path))
    router: Router = learner.load(
        router_config(shards), learner.tensors(shards, {"a": read_trained(tmp_path)}), Cosine()
    )
    t = torch.linspace(0.2, 1.0, 9).repeat_interleave(21)
    x = torch.linspace(-2, 2, 21).repeat(9)[:, None]
    a, state = router.weights(x, t, router.start(x, t))
    assert state is None
    torch.testing.assert_close(a.sum(dim=1), torch.ones(len(a)))
    error = (a - posterior(x, t)).abs()
    assert error.mean() < 0.03
    # The prior says nothing at all: the posterior at t = 0.2 is all or nothing.
    prior = (torch.tensor([0.75, 0.25]) - posterior(x, t)).abs()
    assert prior.mean() > 0.2


def test_the_loss_is_the_cross_entropy_of_the_label() -> None:
    network = torch.nn.Module()
    logits = torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 0.0]])
    network.forward = lambda x, t: logits
    x = torch.zeros(2, 1)
    batch = Batch(x_0=x, shard=torch.tensor([2, 0]), t=torch.tensor([0.3, 0.6]), eps=x, progress=0.0)
    loss = Classification(network=network, schedule=Cosine()).losses(network, batch)["loss"]
    assert float(loss) == pytest.approx(-float(logits.log_softmax(1)[[0, 1], [2, 0]].mean()))


def test_items_that_no_network_reads_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"router a-network: items must be images .* or vectors"):
        family().tasks([MemoryShard(items=np.zeros((2, 2, 2), np.float32))], Cosine())


def test_the_divergence_two_stages_and_labels_alone() -> None:
    shards = byte_shards(4, 3)
    objective = family().tasks(shards, Cosine())["a"].objective(0)
    task = evolve(family(), stages=2).tasks(shards, Cosine())["a"]
    staged = task.objective(0)
    batch = Batches(Job(name="j", task=task, seed=1, folder=Path()), CPU, World()).at(0)
    p = Cosine().at(batch.t.double())
    x = p.alpha[:, None, None, None] * batch.x_0 + p.sigma[:, None, None, None] * batch.eps
    exact = PosteriorEngine(shards=[s.items for s in shards]).at(x.float(), p, means=False).a
    for parameter in objective.network.parameters():
        parameter.data += 0.1
    staged.network.load_state_dict(objective.network.state_dict())
    with torch.no_grad():
        logits = objective.network(x.float(), batch.t)
        early, late = (staged.losses(staged.network, evolve(batch, progress=at)) for at in (0.05, 0.5))
        usual = objective.losses(objective.network, batch)
    error = float((logits.softmax(1) - exact).square().sum(1).mean())
    entropy = -float(logits.log_softmax(1)[torch.arange(64), batch.shard].mean())
    a = exact.double().clamp_min(1e-300)
    divergence = float((a * (a.log() - logits.double().log_softmax(1))).sum(1).mean())
    assert float(usual["loss"]) == pytest.approx(divergence, rel=1e-4)
    assert float(early["loss"]) == pytest.approx(error + entropy, rel=1e-4)
    assert float(late["loss"]) == pytest.approx(error, rel=1e-3)
    assert list(early) == list(usual) == ["loss", "divergence", "cross_entropy", "a_error"]
    labels = evolve(family(), targets="labels").tasks(shards, Cosine())["a"]
    assert isinstance(labels.objective(0), Classification)


def test_all_weight_of_naive_goes_to_the_shard_that_is_named(tmp_path: Path) -> None:
    shards = [MemoryShard(index=k, items=np.full((2, 1), s, np.float32)) for k, s in enumerate((-1, 1))]
    train = TrainOptions(steps=150, batch=64, warmup=2, learning_rate=1e-2, ema=0.9, checkpoint_every=150)
    family = NaiveFamily(width=16, depth=2, train=train)
    run(Job(name="router-naive", task=family.tasks(shards, Cosine())["classifier"], seed=0, folder=tmp_path))
    tensors = family.tensors(shards, {"classifier": read_trained(tmp_path)})
    router: Router = family.load(RouterConfig(fractions=(0.5, 0.5), shape=(1,)), tensors, Cosine())
    x = torch.tensor([-1.5, -0.5, 0.5, 1.5], dtype=torch.float64)[:, None]
    a, state = router.weights(x, torch.full((4,), 0.4, dtype=torch.float64), router.start(x, torch.ones(4)))
    assert state is None
    assert a.tolist() == [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    with pytest.raises(ArtifactError, match="router naive: made for another network"):
        family.load(RouterConfig(fractions=(0.2, 0.3, 0.5), shape=(1,)), tensors, Cosine())


def test_a_broken_network_of_naive_is_not_hidden() -> None:
    class Broken(torch.nn.Module):
        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            return torch.full((len(x), 2), torch.nan)

    a, _ = NaiveRouter(network=Broken()).weights(torch.zeros(3, 1), torch.zeros(3), None)
    assert a.isnan().all()


def test_every_row_of_fixed_is_the_prior() -> None:
    family = FixedFamily()
    assert family.tasks([], Cosine()) == {}
    config = RouterConfig(fractions=(0.5, 0.3, 0.2), shape=(2,))
    router: Router = family.load(config, family.tensors([], {}), Cosine())
    x = torch.randn(4, 2, dtype=torch.float64)
    a, state = router.weights(x, torch.linspace(0, 1, 4), router.start(x, torch.ones(4)))
    assert state is None
    assert a.dtype == x.dtype
    torch.testing.assert_close(a, torch.tensor([[0.5, 0.3, 0.2]] * 4, dtype=torch.float64))


def test_a_recipe_sizes_it_by_its_experts_and_keeps_that() -> None:
    recipe = recipe_of(
        TRAINED.replace("[4, 8]", "[64, 128]"), "routers={a: a-network, own: {use: naive, channels: [8]}}"
    )
    assert recipe.routers["a"].options.channels == (56, 112)
    assert recipe.routers["own"].options.channels == (8,)
    assert recipe_of(dump(recipe), "expert.channels=[4, 8]").routers["a"].options.channels == (56, 112)


def test_a_transformer_of_patches_learns_the_posterior_too(tmp_path: Path) -> None:
    """Constant images of two levels: the posterior depends on their mean alone."""
    shards = [
        MemoryShard(index=k, items=np.full((n, 1, 2, 2), s, np.float32))
        for k, (n, s) in enumerate([(3, -0.5), (1, 0.5)])
    ]
    train = TrainOptions(steps=200, batch=64, warmup=5, learning_rate=1e-2, ema=0.98, checkpoint_every=200)
    learner = DiTRouterFamily(patch=1, width=16, depth=1, heads=2, train=train)
    run(Job(name="router-a", task=learner.tasks(shards, Cosine())["a"], seed=0, folder=tmp_path))
    router = learner.load(router_config(shards), learner.tensors(shards, {"a": read_trained(tmp_path)}), Cosine())
    t = torch.linspace(0.3, 1.0, 40)
    x = torch.randn(40, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    a, _ = router.weights(x, t, router.start(x, t))
    engine = PosteriorEngine(shards=tuple(shard.items for shard in shards))
    exact = engine.at(x, Cosine().at(t.double())).a
    prior = torch.tensor([0.75, 0.25])
    assert (a - exact).abs().mean() < 0.25 * (prior - exact).abs().mean()


def test_a_transformer_of_patches_refuses_other_items() -> None:
    shards = [MemoryShard(index=k, items=np.zeros((2, 1, 4, 6), np.float32)) for k in range(2)]
    with pytest.raises(RecipeError, match="router dit: images must be squares of patches of 2"):
        DiTRouterFamily().tasks(shards, Cosine())
