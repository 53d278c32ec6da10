"""p(k | c), and the router `fixed` under classes: by counting items."""

from __future__ import annotations

import pytest
import torch
from attrs import evolve
from class_conditions import of_classes
from classed_shards import classed_config, classed_shards, untrained

from mixvel_core.errors import UsageError
from mixvel_core.protocols import CLASS, Condition, ConditionalRouter, RouterConfig
from mixvel_routers.class_prior import class_prior
from mixvel_routers.fixed import FixedFamily, FixedRouter
from mixvel_schedules.schedules import Cosine

COUNTS = [[6, 2, 0, 0], [1, 3, 4, 0], [0, 0, 9, 0]]
SHARDS = classed_shards(COUNTS, dimension=3)
CONFIG = classed_config(SHARDS)


def test_items_are_counted() -> None:
    counted = torch.tensor(COUNTS, dtype=torch.float64)
    found = class_prior(CONFIG)
    assert found is not None
    wanted = counted[:, :3] / counted[:, :3].sum(0)
    torch.testing.assert_close(found.table[:3], wanted.T, rtol=0, atol=1e-12)
    # Nobody has class 3, and the last row is the null condition's.
    torch.testing.assert_close(found.table[3:], (counted.sum(1) / 25).expand(2, 3), rtol=0, atol=1e-12)


def test_fixed_gives_the_share_of_the_class_and_pi_without_one() -> None:
    router = untrained(FixedFamily(), SHARDS, Cosine())
    assert isinstance(router, FixedRouter)
    plain = FixedRouter(fractions=CONFIG.fractions)
    x, t = torch.randn(4, 3), torch.rand(4)
    assert torch.equal(router.weights(x, t, None)[0], plain.weights(x, t, None)[0])
    assert torch.equal(
        router.given(of_classes(torch.tensor([4, 4, 4, 4]))).weights(x, t, None)[0], plain.weights(x, t, None)[0]
    )
    found = router.given(of_classes(torch.tensor([0, 1, 2, 4]))).weights(x, t, None)[0]
    wanted = torch.tensor([[6 / 7, 1 / 7, 0], [2 / 5, 3 / 5, 0], [0, 4 / 13, 9 / 13], CONFIG.fractions])
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-7)


def test_without_conditions_a_router_reads_none() -> None:
    plain = RouterConfig(fractions=(0.4, 0.6), shape=(3,))
    router = FixedFamily().load(plain, {}, Cosine())
    assert isinstance(router, ConditionalRouter)
    assert router.null is None
    assert router.given(of_classes(torch.tensor([0]))) is router


def test_owners_who_keep_classes_to_themselves_leave_pi() -> None:
    router = FixedFamily().load(evolve(CONFIG, class_fractions=()), {}, Cosine())
    x = torch.randn(2, 3, dtype=torch.float64)
    found = router.given(of_classes(torch.tensor([0, 2]))).weights(x, x[:, 0], None)[0]
    torch.testing.assert_close(found, torch.tensor([CONFIG.fractions] * 2, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (torch.tensor([0, 5]), "condition class: there is no class 5; give 0 to 3, or 4 for none"),
        (torch.tensor([-1]), "there is no class -1"),
        (torch.tensor([0.0]), r"labels are whole numbers, \(B,\), not torch.float32"),
        (torch.tensor([[1]]), "labels are whole numbers"),
    ],
)
def test_what_is_no_class_is_refused(classes: torch.Tensor, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        FixedFamily().load(CONFIG, {}, Cosine()).given(Condition(values={CLASS: classes}))
