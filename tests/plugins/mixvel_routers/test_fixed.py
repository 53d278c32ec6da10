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
