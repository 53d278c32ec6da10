"""The router `moments`: exact on Gaussian shards, the prior at t = 1, and the same after a round trip in float32."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from exact import all_schedules, exact
from gaussian_shards import gaussians_of, slanted_shard

from mixvel_core.errors import DataError, RecipeError
from mixvel_core.field.posterior import PosteriorEngine
from mixvel_core.protocols import RouterConfig
from mixvel_core.recipe.build import build
from mixvel_core.testing.problems import MemoryShard
from mixvel_routers.moments import MomentsFamily, MomentsRouter

SCHEDULES = all_schedules()
COSINE = SCHEDULES["vp-cosine"]
CONFIG = RouterConfig(fractions=(0.2, 0.3, 0.5), shape=(6,))


@pytest.mark.parametrize("name", SCHEDULES)
def test_on_gaussian_shards_it_is_the_exact_posterior(name: str) -> None:
    """D3: the router of the shards' own laws is the oracle."""
    problem = exact(SCHEDULES[name], experts=5, dimension=4, seed=3)
    router = MomentsRouter(
        log_pi=torch.tensor(problem.fractions, dtype=torch.float64).log(),
        gaussians=gaussians_of(problem.experts),
        schedule=problem.schedule,
    )
    x = torch.randn(64, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = torch.linspace(0.02, 1.0, 64, dtype=torch.float64)
    torch.testing.assert_close(router.weights(x, t, None)[0], problem.router.weights(x, t, None)[0], rtol=0, atol=1e-10)


def test_a_component_on_every_item_is_the_posterior_of_the_items() -> None:
    """D2: with J = n every component is an item, and its variance the floor: a bandwidth b^2 of that size."""
    rng = np.random.default_rng(0)
    shards = [MemoryShard(items=rng.normal(k, 1.0, (5, 3)).astype(np.float32), index=k, fraction=0.5) for k in (0, 1)]
    family = MomentsFamily(components=5)
    config = RouterConfig(fractions=(0.5, 0.5), shape=(3,))
    router = family.load(config, family.tensors(shards, {}), COSINE)
    x = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = torch.full((20,), 0.6, dtype=torch.float64)
    p = COSINE.at(t)
    widened = type(p)(
        alpha=p.alpha, sigma=(p.sigma**2 + p.alpha**2 * 1e-3).sqrt(), d_alpha=p.d_alpha, d_sigma=p.d_sigma,
        dd_alpha=p.dd_alpha,
    )  # fmt: skip
    wanted = PosteriorEngine(shards=tuple(torch.tensor(s.items[:]).double() for s in shards)).at(x, widened).a
    torch.testing.assert_close(router.weights(x, t, None)[0], wanted, rtol=0, atol=2e-5)


@pytest.mark.parametrize("options", [{"rank": 0}, {"rank": 2}, {"components": 3}])
def test_where_there_is_only_noise_it_is_pi(options: dict[str, int]) -> None:
    family = MomentsFamily(**options)
    shards = [slanted_shard(k) for k in range(3)]
    router = family.load(CONFIG, family.tensors(shards, {}), COSINE)
    x = torch.randn(8, 6, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        router.weights(x, torch.ones(8), None)[0], torch.tensor(CONFIG.fractions).expand(8, 3), rtol=0, atol=1e-7
    )


def test_points_in_float32_are_right_down_to_the_last_times() -> None:
    """At t = 0.001 logits are differences of numbers like 1e5; float32 points cost what their rounding costs."""
    shards = [slanted_shard(k) for k in range(3)]
    family = MomentsFamily(rank=2)
    router = family.load(CONFIG, family.tensors(shards, {}), COSINE)
    x = torch.tensor(np.concatenate([s.items[:4] for s in shards]))
    t = torch.full((12,), 0.001)
    found = router.weights(x, t, None)[0]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), router.weights(x.double(), t.double(), None)[0], rtol=0, atol=1e-5)


def test_an_absent_rank_is_what_the_smallest_shard_carries() -> None:
    shards = [slanted_shard(0), slanted_shard(1, count=4)]
    assert MomentsFamily().rank_for(shards) == 3
    assert MomentsFamily().rank_for([slanted_shard(0, dimension=40)]) == 8
    assert MomentsFamily(components=2).rank_for(shards) == 0
    assert MomentsFamily().rank_for([slanted_shard(0, count=1)]) == 0


def test_what_a_shard_does_not_have_is_refused() -> None:
    with pytest.raises(DataError, match="router moments: rank 6 is not below"):
        MomentsFamily(rank=6).check([slanted_shard(0)])
    with pytest.raises(DataError, match="rank 4 is not below the 4 items of shard 2"):
        MomentsFamily(rank=4).tensors([slanted_shard(2, count=4)], {})
    with pytest.raises(DataError, match="7 components are more than the 4 items of shard 2"):
        MomentsFamily(components=7).check([slanted_shard(2, count=4)])
    with pytest.raises(RecipeError, match="leave out `rank` or `components`"):
        build("router", "moments", {"rank": 2, "components": 3})


def test_the_check_makes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("items were read")

    monkeypatch.setattr("mixvel_core.field.gaussian_fit._blocks", fail)
    MomentsFamily(rank=2).check([slanted_shard(0)])
