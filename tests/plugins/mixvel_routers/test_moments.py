"""The router `moments`: exact on Gaussian shards, the prior at t = 1, moments of a shard against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from exact import all_schedules, exact

from mixvel_core.errors import DataError
from mixvel_core.protocols import RouterConfig
from mixvel_core.testing.problems import MemoryShard
from mixvel_oracles.denoisers import GaussianExpert
from mixvel_routers.moments import FLOOR, MomentsFamily, MomentsRouter, gaussian_of

SCHEDULES = all_schedules()


def shard(index: int, count: int = 50, dimension: int = 6) -> MemoryShard:
    rng = np.random.default_rng(index)
    items = rng.normal(index, 1.0, (count, dimension)) @ np.diag(np.linspace(0.1, 1.0, dimension))
    return MemoryShard(index=index, items=items.astype(np.float32), fraction=0.5)


@pytest.mark.parametrize("name", SCHEDULES)
def test_on_gaussian_shards_it_is_the_exact_posterior(name: str) -> None:
    problem = exact(SCHEDULES[name], experts=5, dimension=4, seed=3)
    experts = [expert for expert in problem.experts if isinstance(expert, GaussianExpert)]
    router = MomentsRouter(
        log_pi=torch.tensor(problem.fractions, dtype=torch.float64).log(),
        mean=torch.stack([expert.means[0] for expert in experts]).double(),
        axes=torch.stack([expert.axes[0] for expert in experts]).double(),
        variances=torch.stack([expert.variances[0] for expert in experts]).double(),
        rest=torch.ones(5, dtype=torch.float64),
        schedule=problem.schedule,
    )
    x = torch.randn(64, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = torch.linspace(0.02, 1.0, 64, dtype=torch.float64)
    torch.testing.assert_close(router.weights(x, t, None)[0], problem.router.weights(x, t, None)[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("rank", [0, 2])
def test_moments_of_a_shard_are_those_of_its_covariance(rank: int) -> None:
    one = shard(1)
    mean, axes, variances, rest = gaussian_of(one, rank)
    items = one.items[:].astype(np.float64)
    covariance = np.cov(items.T, bias=True)
    values = np.linalg.eigvalsh(covariance)[::-1]
    np.testing.assert_allclose(mean, items.mean(0), atol=1e-12)
    np.testing.assert_allclose(variances, values[:rank], atol=1e-12)
    np.testing.assert_allclose(float(rest), values[rank:].mean() + FLOOR, atol=1e-12)
    np.testing.assert_allclose(covariance @ axes.numpy(), axes.numpy() * values[:rank], atol=1e-12)


def test_groups_of_experts_change_nothing_and_t_1_gives_pi(monkeypatch: pytest.MonkeyPatch) -> None:
    shards = [shard(k) for k in range(3)]
    family = MomentsFamily(rank=2)
    config = RouterConfig(fractions=(0.2, 0.3, 0.5), shape=(6,))
    router = family.load(config, family.tensors(shards, {}), SCHEDULES["vp-cosine"])
    x = torch.randn(8, 6, generator=torch.Generator().manual_seed(1))
    t = torch.full((8,), 0.4)
    whole = router.weights(x, t, None)[0]
    monkeypatch.setattr("mixvel_routers.moments._AT_ONCE", 1)
    torch.testing.assert_close(router.weights(x, t, None)[0], whole, rtol=0, atol=0)
    at_noise = router.weights(x, torch.ones(8), None)[0]
    torch.testing.assert_close(at_noise, torch.tensor(config.fractions).expand(8, 3), rtol=0, atol=1e-7)


def test_a_rank_that_a_shard_does_not_have_is_refused() -> None:
    with pytest.raises(DataError, match="rank 6 is not below"):
        MomentsFamily(rank=6).tensors([shard(0)], {})
    with pytest.raises(DataError, match="rank 4 is not below the 4 items of shard 2"):
        MomentsFamily(rank=4).tensors([shard(2, count=4)], {})
