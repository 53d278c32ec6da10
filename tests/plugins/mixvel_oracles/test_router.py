"""The oracle router on items: one pass for all shards is what the shards' own densities say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from trainable import byte_shards

from mixvel_core.errors import ArtifactError
from mixvel_core.field.scale import to_float
from mixvel_core.protocols import GaussianLaw, Router, RouterConfig
from mixvel_core.testing.problems import MemoryShard
from mixvel_oracles.denoisers import EmpiricalExpert, ItemsRouter, OracleRouter
from mixvel_oracles.families import OracleRouterFamily
from mixvel_schedules.schedules import Cosine


@pytest.mark.parametrize("bandwidth", [0.0, 0.3])
def test_one_pass_is_the_shards_own_densities(bandwidth: float) -> None:
    shards, pi = byte_shards(1, 9, 5), (0.2, 0.5, 0.3)
    family = OracleRouterFamily(bandwidth=bandwidth)
    router: Router = family.load(RouterConfig(fractions=pi, shape=(1, 4, 4)), family.tensors(shards, {}), Cosine())
    experts = tuple(
        EmpiricalExpert(schedule=Cosine(), items=torch.from_numpy(to_float(s.items[:])), bandwidth=bandwidth)
        for s in shards
    )
    x = torch.randn(12, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = torch.linspace(0.0, 1.0, 12, dtype=torch.float64)
    a, state = router.weights(x, t, router.start(x, t))
    assert state is None
    wanted, _ = OracleRouter(experts=experts, fractions=pi).weights(x, t, None)
    torch.testing.assert_close(a, wanted, rtol=1e-9, atol=1e-12)
    assert isinstance(router, ItemsRouter)
    torch.testing.assert_close(a[-1], torch.tensor(pi, dtype=torch.float64))


def test_known_laws_are_used_instead_of_items() -> None:
    law = GaussianLaw(weights=np.ones(1), means=np.zeros((1, 2)), covariances=np.eye(2)[None])
    shards = [MemoryShard(index=k, items=np.zeros((3, 2), np.float32), law=law) for k in range(2)]
    family = OracleRouterFamily()
    config = RouterConfig(fractions=(0.25, 0.75), shape=(2,))
    router = family.load(config, family.tensors(shards, {}), Cosine())
    assert isinstance(router, OracleRouter)
    a, _ = router.weights(torch.randn(4, 2), torch.full((4,), 0.5), None)
    torch.testing.assert_close(a, torch.tensor([[0.25, 0.75]]).expand(4, 2))


def test_tensors_of_more_shards_are_refused() -> None:
    family = OracleRouterFamily()
    tensors = family.tensors(byte_shards(2, 2, 2), {})
    with pytest.raises(ArtifactError, match="an oracle router of 2 experts has no place"):
        family.load(RouterConfig(fractions=(0.5, 0.5), shape=(1, 4, 4)), tensors, Cosine())
