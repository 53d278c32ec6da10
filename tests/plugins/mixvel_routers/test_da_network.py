"""Networks of the posterior's rate: what they learn, where, and their way through files."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from attrs import evolve
from torch import Tensor
from trainable import CPU, byte_shards, router_config, run

from mixvel_core.errors import ArtifactError
from mixvel_core.field.posterior import Path as RatePath
from mixvel_core.field.posterior import PosteriorEngine
from mixvel_core.plugin.discovery import load_registry
from mixvel_core.protocols import Job, Router
from mixvel_core.recipe.structure import structure
from mixvel_core.testing.problems import MemoryShard
from mixvel_core.testing.routers import round_trip, rows, simplex, state
from mixvel_core.training.batches import Batches
from mixvel_core.training.checkpoint import read_trained
from mixvel_core.training.log import read_losses
from mixvel_core.training.options import TrainOptions
from mixvel_core.training.world import World
from mixvel_routers.classifier import halves
from mixvel_routers.da_family import DaNetworkFamily
from mixvel_routers.da_network import IntervalRates, RateRegression
from mixvel_routers.gains import fit_gains
from mixvel_routers.integrated import RateAnswer
from mixvel_routers.options import DaNetworkOptions
from mixvel_routers.targets import targets_of
from mixvel_schedules.schedules import Cosine


def family(
    steps: int = 4, width: int = 16, rate: float = 1e-3, ends: tuple[float, ...] = (0.4, 0.7)
) -> DaNetworkFamily:
    train = TrainOptions(
        steps=steps, batch=64, warmup=2, learning_rate=rate, ema=0.98, checkpoint_every=steps, earliest_t=0.15
    )
    return DaNetworkFamily(channels=(4, 8), width=width, depth=2, train=train, ends=ends)


def trained(learner: DaNetworkFamily, shards: list[MemoryShard], folder: Path) -> dict[str, dict[str, Tensor]]:
    found = {}
    for name, task in learner.tasks(shards, Cosine()).items():
        run(Job(name=f"router-da-{name}", task=task, seed=0, folder=folder / name))
        found[name] = read_trained(folder / name)
    return found


def test_the_networks_learn_the_rate_and_the_integral_is_the_posterior(tmp_path: Path) -> None:
    items = [np.full((3, 1), -1, np.float32), np.full((1, 1), 1, np.float32)]
    shards = [MemoryShard(index=k, items=i) for k, i in enumerate(items)]
    learner = family(steps=300, width=32, rate=1e-2, ends=())
    states = trained(learner, shards, tmp_path)
    router: Router = learner.load(router_config(shards), learner.tensors(shards, states), Cosine())
    engine = PosteriorEngine(shards=items)
    times = torch.linspace(1.0, 0.2, 41)
    # Along the exact flow, so that the error is the router's alone.
    x = torch.linspace(-2, 2, 33)[:, None]
    state, step, errors, prior = router.start(x, times[:1].expand(33)), 0.02, [], []
    for t in times:
        p = Cosine().at(t.double().expand(33))
        a, state = router.weights(x, t.expand(33), state)
        answer = engine.at(x, p)
        errors.append(float((a - answer.a).abs().mean()))
        prior.append(float((torch.tensor([0.75, 0.25]) - answer.a).abs().mean()))
        r = (p.d_sigma / p.sigma)[:, None]
        v = r * x + (p.d_alpha[:, None] - p.alpha[:, None] * r) * answer.m
        x = (x - step * v).float()
    assert max(errors) < 0.08
    assert max(prior) > 0.25
    log = read_losses(tmp_path / "interval-0" / "losses.csv")
    assert {"loss", "divergence", "cross_entropy", "a_error", "da_error"} <= set(log)
    for place in (0, -1):
        assert log["loss"][place] == pytest.approx(log["divergence"][place] + log["da_error"][place], rel=1e-4)


def test_intervals_are_trained_on_their_own_times_from_the_same_weights() -> None:
    tasks = family().tasks(byte_shards(3, 2), Cosine())
    assert list(tasks) == ["interval-0", "interval-1", "interval-2"]
    states = [
        pickle.loads(pickle.dumps(task)).objective(seed).network.state_dict()
        for seed, task in enumerate(tasks.values())
    ]
    for other in states[1:]:
        assert all(torch.equal(value, states[0][name]) for name, value in other.items())
    for (low, high), task in zip([(0.15, 0.4), (0.4, 0.7), (0.7, 1.0)], tasks.values(), strict=True):
        t = Batches(Job(name="j", task=task, seed=1, folder=Path()), CPU, World()).at(0).t
        assert low <= float(t.min()) < low + 0.02
        assert high - 0.02 < float(t.max()) <= high


@pytest.mark.parametrize("path", ["material", "path", "partial"])
def test_the_loss_is_the_squared_error_of_the_rate(path: RatePath) -> None:
    shards = byte_shards(4, 3)
    task = evolve(family(), path=path, rate_weight=2.0).tasks(shards, Cosine())["interval-1"]
    objective = task.objective(0)
    batch = Batches(Job(name="j", task=task, seed=1, folder=Path()), CPU, World()).at(0)
    x_0, eps, t = batch.x_0.double(), batch.eps.double(), batch.t.double()
    p = Cosine().at(t)

    def shaped(v: Tensor) -> Tensor:
        return v[:, None, None, None]

    x = shaped(p.alpha) * x_0 + shaped(p.sigma) * eps
    answer = PosteriorEngine(shards=[s.items for s in shards]).at(x, p)
    u = shaped(p.d_alpha) * x_0 + shaped(p.d_sigma) * eps if path == "path" else None
    for parameter in objective.network.parameters():
        parameter.data += 0.1
    assert isinstance(objective, RateRegression)
    staged = evolve(objective, first_stage=0.1)
    late, early, usual = (
        {name: float(v.detach()) for name, v in one.losses(one.network, evolve(batch, progress=at)).items()}
        for one, at in ((staged, 0.5), (staged, 0.05), (objective, 0.05))
    )
    with torch.no_grad():
        logits, rates = halves(objective.network(x.float(), batch.t))
    da = answer.a * (rates - (answer.a * rates).sum(1, keepdim=True))
    da_error = float((da - answer.rate(path, u)).square().sum(1).mean())
    a_error = float((logits.softmax(1) - answer.a).square().sum(1).mean())
    assert late["da_error"] == pytest.approx(da_error, rel=1e-3)
    assert late["loss"] == pytest.approx(a_error + 2 * da_error, rel=1e-3)
    assert early["loss"] == pytest.approx(a_error + early["cross_entropy"], rel=1e-3)
    assert usual["loss"] == pytest.approx(usual["divergence"] + 2 * da_error, rel=1e-3)


def test_each_time_is_answered_by_the_network_of_its_interval() -> None:
    class Constant(torch.nn.Module):
        def __init__(self, value: float) -> None:
            super().__init__()
            self.value = value

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            return x.new_tensor([9.0, 9.0, self.value, 0.0]).expand(len(x), 4)

    rates = IntervalRates(networks=tuple(Constant(v) for v in (2.0, 4.0, 6.0)), ends=(0.3, 0.7))
    found = rates(torch.zeros(6, 2), torch.tensor([1.0, 0.3, 0.31, 0.7, 0.71, 0.0]))
    assert found.log_rate[:, 0].tolist() == [6.0, 2.0, 4.0, 4.0, 6.0, 2.0]
    torch.testing.assert_close(found.log_a, torch.full((6, 2), 0.5).log())


def test_routers_come_back_from_their_tensors_and_others_are_refused(tmp_path: Path) -> None:
    shards = byte_shards(1, 4, 3)
    states = trained(family(), shards, tmp_path)
    tensors = family().tensors(shards, states)
    router = family().load(router_config(shards), tensors, Cosine())
    x = torch.randn(5, 1, 4, 4)
    one = torch.ones(5)
    a, state = router.weights(x, one, router.start(x, one))
    torch.testing.assert_close(a, torch.tensor([[1 / 8, 4 / 8, 3 / 8]]).expand(5, 3))
    a, _ = router.weights(x, 0.9 * one, state)
    torch.testing.assert_close(a.sum(1), one)
    with pytest.raises(ArtifactError, match="router da-network: made for another network"):
        family().load(router_config(byte_shards(2, 2)), tensors, Cosine())
    for ends in ((0.5,), (0.3, 0.5, 0.7)):
        with pytest.raises(ArtifactError, match="router da-network: made for another network: interval-"):
            family(ends=ends).load(router_config(shards), tensors, Cosine())


@pytest.mark.parametrize("ends", [[0.7, 0.3], [0.3, 0.3], [0.0, 0.5], [0.5, 1.0], [0.0001, 0.5]])
def test_ends_that_are_no_ends_are_one_problem(ends: list[float]) -> None:
    from mixvel_core.recipe.problems import ProblemsFound

    with pytest.raises(ProblemsFound) as caught:
        structure({"ends": ends}, DaNetworkOptions, load_registry(), "da-network")
    (problem,) = caught.value.problems
    assert "ends" in f"{problem.path} {problem.message}"


@pytest.mark.parametrize("correct", ["own", "network"])
def test_what_corrects_it_meets_the_contract_of_routers(correct: Literal["own", "network"]) -> None:
    train = TrainOptions(steps=2, batch=4, warmup=1, checkpoint_every=2)
    for check in (simplex, state, rows, round_trip):
        check(DaNetworkFamily(channels=(4, 8), width=8, depth=1, train=train, correct=correct))


def test_gains_rest_on_what_is_right() -> None:
    rng = np.random.default_rng(0)
    shards = [MemoryShard(items=rng.normal(c, 0.3, (n, 2)).astype(np.float32)) for c, n in ((-1, 20), (1, 60))]
    targets, config = targets_of(shards, Cosine()), router_config(shards)

    def rate_right(x: Tensor, t: Tensor) -> RateAnswer:
        answer = targets.of(x, t, means=True)
        wrong = torch.tensor([[0.9, 0.1]]).log().expand(len(x), 2)
        return RateAnswer(log_rate=answer.rate() / answer.a.clamp_min(1e-20), log_a=wrong)

    def posterior_right(x: Tensor, t: Tensor) -> RateAnswer:
        log_a = targets.of(x, t, means=False).a.clamp_min(1e-20).log()
        return RateAnswer(log_rate=x.new_tensor([[3.0, -3.0]]).expand(len(x), 2), log_a=log_a)

    # The trapezoid rule errs by a little, which a small gain mends.
    assert float(fit_gains(rate_right, config, targets, CPU)[1:].max()) <= 0.1
    assert float(fit_gains(posterior_right, config, targets, CPU)[1:7].min()) == 1.0


def test_a_file_without_gains_is_refused() -> None:
    shards = byte_shards(4, 3)
    made = evolve(family(ends=()), correct="own")
    network = made.tasks(shards, Cosine())["interval-0"].objective(0).network
    tensors = dict(made.tensors(shards, {"interval-0": network.state_dict()}))
    with pytest.raises(ArtifactError, match=r"router da-network: .* gains is missing"):
        made.load(router_config(shards), tensors, Cosine())
    assert family().fitted(shards, Cosine(), tensors) == {}
