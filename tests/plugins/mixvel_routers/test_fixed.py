"""The router `fixed`: the shards' fractions, equal weights, or those of its options, under a class too."""

from __future__ import annotations

import pytest
import torch
from gaussian_shards import slanted_shard

from mixvel_core.errors import MixvelError, RecipeError
from mixvel_core.protocols import CLASS, Condition, ConditionSpec, RouterConfig
from mixvel_core.recipe.build import build
from mixvel_routers.fixed import FixedFamily, FixedRouter
from mixvel_schedules.schedules import Cosine

CONFIG = RouterConfig(fractions=(0.5, 0.3, 0.2), shape=(2,))


def row(router: FixedRouter) -> list[float]:
    a, _ = router.weights(torch.zeros(1, 2, dtype=torch.float64), torch.ones(1), None)
    return [round(value, 6) for value in a[0].tolist()]


def test_the_weights_are_the_fractions_or_those_that_are_given() -> None:
    assert row(FixedFamily().load(CONFIG, {}, Cosine())) == [0.5, 0.3, 0.2]
    assert row(FixedFamily(weights="uniform").load(CONFIG, {}, Cosine())) == pytest.approx([1 / 3] * 3, abs=1e-6)
    assert row(FixedFamily(weights=(2.0, 0.0, 6.0)).load(CONFIG, {}, Cosine())) == [0.25, 0.0, 0.75]


def test_given_weights_are_the_prior_of_a_class() -> None:
    spec = ConditionSpec(name=CLASS, classes=2, labels=("a", "b"))
    config = RouterConfig(
        fractions=(0.5, 0.3, 0.2), shape=(2,), conditions=(spec,), class_fractions=((1.0, 0.0), (0.5, 0.5), (0.0, 1.0))
    )
    router = FixedFamily(weights=(1.0, 2.0, 1.0)).load(config, {}, Cosine())
    assert row(router.given(Condition(values={CLASS: torch.tensor([0])}))) == [0.5, 0.5, 0.0]
    assert row(router) == [0.25, 0.5, 0.25]


def test_a_weight_for_each_expert() -> None:
    shards = [slanted_shard(k) for k in range(2)]
    FixedFamily(weights=(1.0, 2.0)).tensors(shards, {})
    FixedFamily(weights="uniform").tensors(shards, {})
    with pytest.raises(RecipeError, match="3 weights for 2 experts; give one for each"):
        FixedFamily(weights=(1.0, 2.0, 3.0)).tensors(shards, {})


@pytest.mark.parametrize("weights", ["even", [0.0, 0.0], [1.0, -1.0], [], [1.0, float("nan")]])
def test_other_weights_are_refused(weights: object) -> None:
    with pytest.raises(MixvelError, match="weights"):
        build("router", "fixed", {"weights": weights})
