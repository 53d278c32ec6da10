"""The router that looks at nothing."""

from __future__ import annotations

import torch

from mixvel_core.protocols import Router, RouterConfig
from mixvel_routers.fixed import FixedFamily
from mixvel_schedules.schedules import Cosine


def test_every_row_is_the_prior() -> None:
    family = FixedFamily()
    assert family.tasks([], Cosine()) == {}
    config = RouterConfig(fractions=(0.5, 0.3, 0.2), shape=(2,))
    router: Router = family.load(config, family.tensors([], {}), Cosine())
    x = torch.randn(4, 2, dtype=torch.float64)
    a, state = router.weights(x, torch.linspace(0, 1, 4), router.start(x, torch.ones(4)))
    assert state is None
    assert a.dtype == x.dtype
    torch.testing.assert_close(a, torch.tensor([[0.5, 0.3, 0.2]] * 4, dtype=torch.float64))


def test_one_expert_has_all_the_weight() -> None:
    router = FixedFamily().load(RouterConfig(fractions=(1.0,), shape=(2,)), {}, Cosine())
    assert torch.equal(router.weights(torch.randn(3, 2), torch.zeros(3), None)[0], torch.ones(3, 1))
