"""Stacking a network on a closed form: what b and g find, and its way through files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from attrs import evolve, frozen
from torch import Tensor, nn
from trainable import byte_shards, router_config

from mixvel_core.errors import ArtifactError, DataError, RecipeError
from mixvel_core.plugin.definition import RouterUse
from mixvel_core.plugin.discovery import load_registry
from mixvel_core.protocols import RouterConfig
from mixvel_core.recipe.structure import structure
from mixvel_core.testing.problems import MemoryShard
from mixvel_core.testing.routers import round_trip, rows, simplex, training
from mixvel_core.training.options import TrainOptions
from mixvel_routers.a_family import ANetworkFamily
from mixvel_routers.fixed import FixedRouter
from mixvel_routers.options import ANetworkOptions
from mixvel_routers.stacking import StackedRouter, between_knots, fit_stack
from mixvel_routers.targets import Targets, targets_of
from mixvel_schedules.schedules import Cosine

TINY = TrainOptions(steps=2, batch=4, warmup=1, checkpoint_every=2)


def use(name: str, **options: object) -> RouterUse:
    definition = load_registry().get("router", name)
    return RouterUse(definition=definition, options=definition.options(**options))


def family(stack_on: RouterUse) -> ANetworkFamily:
    return ANetworkFamily(channels=(4, 8), width=8, depth=1, train=TINY, stack_on=stack_on)


@frozen(kw_only=True, eq=False)
class Exact:
    """The exact posterior as a closed form."""

    targets: Targets

    def start(self, x: Tensor, t: Tensor) -> None: ...

    def weights(self, x: Tensor, t: Tensor, state: None) -> tuple[Tensor, None]:
        return self.targets.of(x, t, means=False).a, None


class Learned(nn.Module):
    """Logits of the exact posterior, or of nothing, as a network."""

    def __init__(self, targets: Targets, *, right: bool) -> None:
        super().__init__()
        self.targets = targets
        self.right = right
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        a = self.targets.of(x, t, means=False).a
        return a.clamp_min(1e-30).log() if self.right else torch.randn(a.shape, generator=torch.Generator())


def test_between_knots_a_function_of_time_is_linear() -> None:
    values = torch.stack([torch.arange(11.0), 5 - torch.arange(11.0)])
    t = torch.tensor([0.0, 0.05, 0.73, 1.0])
    torch.testing.assert_close(between_knots(values, t), torch.stack([10 * t, 5 - 10 * t]))


@pytest.mark.parametrize("right", [True, False])
def test_the_fit_takes_the_part_that_is_right(right: bool) -> None:
    rng = np.random.default_rng(0)
    shards = [MemoryShard(items=rng.normal(c, 0.3, (n, 2)).astype(np.float32)) for c, n in ((-1, 20), (1, 60))]
    targets, pi = targets_of(shards, Cosine()), (20.0, 60.0)
    closed = FixedRouter(fractions=pi) if right else Exact(targets=targets)
    stacked = fit_stack(Learned(targets, right=right), closed, RouterConfig(fractions=pi, shape=(2,)), targets)
    x, t = torch.randn(64, 2), torch.linspace(0.1, 1.0, 64)
    exact = targets.of(x, t, means=False).a
    a, _ = stacked.weights(x, t, None)
    prior, _ = FixedRouter(fractions=pi).weights(x, t, None)
    assert float((a - exact).abs().sum(1).mean()) < 0.2 * float((prior - exact).abs().sum(1).mean())


def test_one_and_nothing_are_the_closed_form_and_the_network() -> None:
    shards = byte_shards(4, 3)
    targets = targets_of(shards, Cosine())
    log_pi = torch.tensor([4 / 7, 3 / 7], dtype=torch.float64).log()
    network = nn.Module()
    network.forward = lambda x, t: x.flatten(1)[:, :2]
    x, t = torch.randn(5, 1, 4, 4), torch.linspace(0.3, 1.0, 5)
    for knots, wanted in (((1.0, 0.0), targets.of(x, t, means=False).a), ((0.0, 1.0), x.flatten(1)[:, :2].softmax(1))):
        router = StackedRouter(
            network=network,
            closed=Exact(targets=targets),
            knots=torch.tensor(knots, dtype=torch.float64)[:, None].expand(2, 11),
            log_pi=log_pi,
        )
        torch.testing.assert_close(router.weights(x, t, None)[0], wanted)


def test_it_meets_the_contract_of_routers() -> None:
    for check in (training, simplex, rows, round_trip):
        check(family(use("moments")))


def test_a_trained_router_or_one_that_the_shards_cannot_carry_is_refused_before_training() -> None:
    shards = byte_shards(4, 3)
    with pytest.raises(RecipeError, match="stack_on: router naive is no closed form of x and t; name one that is"):
        family(use("naive")).tasks(shards, Cosine())
    with pytest.raises(DataError, match="rank"):
        family(use("moments", rank=50)).check(shards)


def test_a_file_without_the_stack_is_refused() -> None:
    shards = byte_shards(4, 3)
    made = family(use("fixed"))
    network = made.tasks(shards, Cosine())["a"].objective(0).network
    tensors = dict(made.tensors(shards, {"a": network.state_dict()}))
    with pytest.raises(ArtifactError, match=r"router a-network: .* stack is missing"):
        made.load(router_config(shards), tensors, Cosine())
    whole = {**tensors, **made.fitted(shards, Cosine(), tensors)}
    x, t = torch.randn(3, 1, 4, 4), torch.ones(3)
    a, _ = made.load(router_config(shards), whole, Cosine()).weights(x, t, None)
    torch.testing.assert_close(a, torch.tensor([[4 / 7, 3 / 7]]).expand(3, 2))
    assert evolve(made, stack_on=None).fitted(shards, Cosine(), tensors) == {}


def test_a_recipe_writes_it_as_a_router() -> None:
    found = structure({"stack_on": {"use": "moments", "rank": 2}}, ANetworkOptions, load_registry(), owner="a-network")
    assert found.stack_on is not None
    assert (found.stack_on.name, found.stack_on.options.rank) == ("moments", 2)
