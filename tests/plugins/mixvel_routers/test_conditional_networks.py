"""Learned routers under classes: exact targets by hand, what networks learn, and classes that name the shard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from attrs import evolve
from class_conditions import of_classes
from classed_shards import classed_config, classed_shards
from torch import Tensor
from trainable import CPU, run

from mixvel_core.field.posterior import Path as RatePath
from mixvel_core.field.posterior import PosteriorEngine
from mixvel_core.pipeline.routers import router_tensors
from mixvel_core.protocols import CLASS, Batch, Condition, ConditionSpec, Job, Router, RouterConfig, RouterFamily
from mixvel_core.testing.problems import MemoryShard
from mixvel_core.training.batches import Batches
from mixvel_core.training.checkpoint import read_trained
from mixvel_core.training.options import TrainOptions
from mixvel_core.training.world import World
from mixvel_routers.a_family import ANetworkFamily
from mixvel_routers.a_network import NaiveFamily, divergence
from mixvel_routers.class_prior import ReadsClass
from mixvel_routers.da_family import DaNetworkFamily
from mixvel_routers.targets import RouterTask, targets_of
from mixvel_schedules.schedules import Cosine

COUNTS = ((12, 5, 0), (3, 8, 9))


def options(steps: int, rate: float = 1e-2) -> TrainOptions:
    return TrainOptions(
        steps=steps, batch=64, warmup=2, learning_rate=rate, ema=0.98, checkpoint_every=steps, earliest_t=0.1
    )


def crossed(count: int = 40) -> list[MemoryShard]:
    """Two classes that change sides between two shards: without its class a point says nothing of its shard."""
    rng = np.random.default_rng(0)
    shards = []
    for k in (0, 1):
        labels = np.arange(count) % 2
        side = np.where(labels == k, -0.6, 0.6)
        items = np.stack([side, np.zeros(count)], axis=1) + rng.normal(0.0, 0.25, (count, 2))
        shards.append(
            MemoryShard(
                items=items.astype(np.float32),
                index=k,
                fraction=0.5,
                conditions=(ConditionSpec(name=CLASS, classes=2),),
                values={CLASS: labels},
            )
        )
    return shards


def made(family: RouterFamily, shards: Sequence[MemoryShard], folder: Path) -> Router:
    """The router, trained, stored and loaded."""
    trained = {}
    for name, task in family.tasks(shards, Cosine()).items():
        run(Job(name=name, task=task, seed=0, folder=folder / name))
        trained[name] = read_trained(folder / name)
    return family.load(classed_config(shards), router_tensors(family, shards, Cosine(), trained), Cosine())


def noised(shards: Sequence[MemoryShard], count: int = 240) -> tuple[Batch, Tensor]:
    """Noised items of all shards under their own classes, and their classes."""
    items = np.concatenate([shard.items[:] for shard in shards])
    labels = torch.from_numpy(np.concatenate([shard.condition_values()[CLASS][:] for shard in shards]))
    chosen = torch.arange(count) % len(items)
    generator = torch.Generator().manual_seed(3)
    eps = torch.randn(count, *items.shape[1:], generator=generator)
    t = 0.1 + 0.8 * torch.rand(count, generator=generator)
    x_0, c = torch.from_numpy(items)[chosen], labels[chosen]
    return Batch(x_0=x_0, shard=chosen, t=t, eps=eps, progress=0.0, condition=of_classes(c)), c


@pytest.mark.parametrize("path", ["material", "path", "partial"])
def test_targets_are_the_posterior_of_the_items_of_the_class(path: RatePath) -> None:
    """D2 and P2 of each row's class alone, by hand; 3 is the null condition and has all items."""
    shards = classed_shards(COUNTS)
    x_0, eps = torch.randn(2, 8, 5, generator=torch.Generator().manual_seed(0)).unbind(0)
    classes, t = torch.tensor([0, 1, 2, 3, 3, 2, 1, 0]), torch.linspace(0.1, 1.0, 8)
    batch = Batch(x_0=x_0, shard=classes, t=t, eps=eps, progress=0.0, condition=of_classes(classes))
    x, a, rates = targets_of(shards, Cosine()).with_rates(batch, path)
    torch.testing.assert_close(targets_of(shards, Cosine()).at(batch)[1], a)
    p = Cosine().at(t.double())
    u = p.d_alpha[:, None] * x_0 + p.d_sigma[:, None] * eps if path == "path" else None
    for i, c in enumerate(classes.tolist()):
        row = slice(i, i + 1)
        parts = [shard.items[:][(shard.condition_values()[CLASS][:] == c) | (c == 3)] for shard in shards]
        places = [k for k, part in enumerate(parts) if len(part)]
        answer = PosteriorEngine(shards=[parts[k] for k in places]).at(x[row], Cosine().at(t[row].double()))
        wanted = torch.zeros(2, 2)
        wanted[0, places] = answer.a[0]
        wanted[1, places] = answer.rate(path, None if u is None else u[row])[0].float()
        torch.testing.assert_close(torch.stack([a[i], rates[i]]), wanted, rtol=1e-4, atol=1e-5)


def test_a_router_is_trained_on_the_classes_of_its_items() -> None:
    shards = classed_shards(COUNTS)
    task = ANetworkFamily(train=options(1)).tasks(shards, Cosine())["a"]
    assert task.conditions == (ConditionSpec(name=CLASS, classes=3),)
    assert task.condition_values()[CLASS][:].tolist() == [
        c for shard in shards for c in shard.condition_values()[CLASS][:].tolist()
    ]
    batch = Batches(Job(name="j", task=task, seed=0, folder=Path()), CPU, World()).at(0)
    assert batch.condition is not None
    assert set(batch.condition.values[CLASS].tolist()) == {0, 1, 2, 3}
    plain = [MemoryShard(items=shard.items, index=shard.index) for shard in shards]
    without = RouterTask(members=tuple(plain), schedule=Cosine(), options=options(1), make=lambda *_: None)  # type: ignore[arg-type]  # never called
    assert (without.conditions, without.condition_values()) == ((), {})


@pytest.mark.parametrize(("targets", "within"), [("exact", 0.01), ("labels", 0.03)])
def test_an_a_network_learns_the_posterior_under_a_class(
    targets: Literal["exact", "labels"], within: float, tmp_path: Path
) -> None:
    """In nats from the exact posterior of the class, and of all items where there is none."""
    shards = crossed()
    router = made(ANetworkFamily(width=32, depth=2, train=options(300), targets=targets), shards, tmp_path)
    batch, c = noised(shards)
    x, exact = targets_of(shards, Cosine()).at(batch)
    without = targets_of(shards, Cosine()).at(evolve(batch, condition=None))[1]
    assert isinstance(router, ReadsClass)
    found = router.given(of_classes(c)).weights(x, batch.t, None)[0]
    assert float(divergence(found.log(), exact)) < within
    null = router.given(of_classes(torch.full_like(c, 2))).weights(x, batch.t, None)[0]
    assert float(divergence(null.log(), without)) < 2 * within
    torch.testing.assert_close(router.weights(x, batch.t, None)[0], null)


def test_an_a_network_that_reads_no_class_is_far_from_the_posterior_under_one(tmp_path: Path) -> None:
    """0.2 nats and more, of the same size and training as the one above, which is within 0.01."""
    shards = crossed()
    plain = [evolve(shard, conditions=(), values={}) for shard in shards]
    router = made(ANetworkFamily(width=32, depth=2, train=options(300)), plain, tmp_path)
    batch, _ = noised(shards)
    x, exact = targets_of(shards, Cosine()).at(batch)
    assert float(divergence(router.weights(x, batch.t, None)[0].log(), exact)) > 0.2


def test_a_da_network_integrates_the_rate_of_the_class(tmp_path: Path) -> None:
    """Along the flow of class 0 and 1, from p(k | c) = 1/2 to the posterior of the class."""
    shards = crossed()
    router = made(DaNetworkFamily(width=32, depth=2, train=options(300)), shards, tmp_path)
    assert isinstance(router, ReadsClass)
    engines = [
        PosteriorEngine(shards=[shard.items[:][shard.condition_values()[CLASS][:] == c] for shard in shards])
        for c in (0, 1)
    ]
    x = torch.randn(64, 2, generator=torch.Generator().manual_seed(1))
    under: Any = router.given(of_classes(torch.arange(2).repeat_interleave(32)))
    state, errors, plain = under.start(x, torch.ones(64)), [], []
    for t in torch.linspace(1.0, 0.2, 33):
        p, half = Cosine().at(t.double().expand(64)), Cosine().at(t.double().expand(32))
        a, state = under.weights(x, t.expand(64), state)
        exact = [engine.at(x[32 * c : 32 * (c + 1)], half) for c, engine in enumerate(engines)]
        wanted, m = (torch.cat([getattr(one, name) for one in exact]) for name in ("a", "m"))
        errors.append(float((a - wanted).abs().mean()))
        plain.append(float((0.5 - wanted).abs().mean()))
        r = (p.d_sigma / p.sigma)[:, None]
        x = (x - 0.025 * (r * x + (p.d_alpha[:, None] - p.alpha[:, None] * r) * m)).float()
    assert max(errors) < 0.05
    assert max(plain) > 0.3


TINY = TrainOptions(steps=2, batch=8, warmup=1, checkpoint_every=2)
SMALL: dict[str, Any] = {"width": 8, "depth": 1, "train": TINY}


def stacked() -> ANetworkFamily:
    from mixvel_core.plugin.definition import RouterUse
    from mixvel_core.plugin.discovery import load_registry

    moments = load_registry().get("router", "moments")
    return ANetworkFamily(**SMALL, stack_on=RouterUse(definition=moments, options=moments.options(rank=1)))


@pytest.mark.parametrize(
    "family",
    [
        ANetworkFamily(**SMALL),
        ANetworkFamily(**SMALL, targets="labels"),
        NaiveFamily(**SMALL),
        DaNetworkFamily(**SMALL),
        DaNetworkFamily(**SMALL, correct="network", path="path"),
        stacked(),
    ],
    ids=["a", "labels", "naive", "da", "corrected", "stacked"],
)
def test_a_class_that_names_the_shard_leaves_one_expert(family: RouterFamily, tmp_path: Path) -> None:
    """p(k | c) is one-hot: losses are numbers, and so are weights, at every time."""
    shards = classed_shards([[9, 0, 0], [0, 9, 0], [0, 0, 9]])
    router: Any = made(family, shards, tmp_path)
    classes = torch.arange(6) % 3
    under = router.given(of_classes(classes))
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    state = under.start(x, torch.ones(6))
    for t in (1.0, 0.7, 0.3, 0.05, 0.0):
        a, state = under.weights(x, torch.full((6,), t), state)
        torch.testing.assert_close(a, torch.nn.functional.one_hot(classes, 3).float(), rtol=0, atol=1e-6)


def test_stacked_under_a_class_is_nearer_than_its_parts(tmp_path: Path) -> None:
    """On items under their own classes: what is fitted there brings the total variation down."""
    shards = crossed()
    whole = evolve(stacked(), width=32, depth=2, train=options(60))
    joined: Any = made(whole, shards, tmp_path)
    batch, c = noised(shards)
    x, exact = targets_of(shards, Cosine()).at(batch)

    def error(router: Any) -> float:
        return float((router.given(of_classes(c)).weights(x, batch.t, None)[0] - exact).abs().sum(1).mean())

    assert joined.class_knots is not None
    assert error(joined) < 0.8 * min(error(joined.closed), error(evolve(joined, class_knots=None)))


def test_configurations_without_fractions_of_classes_leave_pi() -> None:
    """A run of owners who keep them: the network starts at pi under every class."""
    shards = classed_shards(COUNTS)
    config = classed_config(shards)
    family = ANetworkFamily(**SMALL)
    network = family.tasks(shards, Cosine())["a"].objective(0).network
    bare = RouterConfig(fractions=config.fractions, shape=config.shape, conditions=config.conditions)
    router = family.load(bare, network.state_dict(), Cosine())
    assert isinstance(router, ReadsClass)
    x = torch.randn(3, 5)
    given = router.given(Condition(values={CLASS: torch.tensor([0, 2, 3])}))
    torch.testing.assert_close(given.weights(x, torch.ones(3), None)[0], torch.tensor([config.fractions] * 3))
