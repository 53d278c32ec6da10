"""The exact posterior by class: that of the items of each row's class, with the denoiser of them all; empty cells."""

from __future__ import annotations

import pytest
import torch
from classed_shards import classed_shards

from mixvel_core.data.conditions import items_by_class
from mixvel_core.field.class_posterior import ClassPosterior
from mixvel_core.field.posterior import PosteriorEngine
from mixvel_core.protocols import CLASS
from mixvel_schedules.schedules import Cosine

SHARDS = classed_shards([[7, 3, 0], [2, 6, 5]])
PARTS = (*items_by_class(SHARDS), [shard.items for shard in SHARDS])


def test_items_are_parted_by_class_in_their_order() -> None:
    for c, row in enumerate(PARTS[:3]):
        for shard, items in zip(SHARDS, row, strict=True):
            labels = shard.condition_values()[CLASS][:]
            assert (items[:] == shard.items[:][labels == c]).all()
    assert items_by_class([type(shard)(items=shard.items) for shard in SHARDS]) == []


@pytest.mark.parametrize("weighted", [False, True])
def test_each_row_has_the_posterior_of_its_class(weighted: bool) -> None:
    fractions = ((1.0, 3.0), (2.0, 2.0), (0.0, 5.0), (4.0, 6.0)) if weighted else None
    posterior = ClassPosterior(parts=PARTS, fractions=fractions)
    x = torch.randn(8, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p = Cosine().at(torch.linspace(0.2, 1.0, 8, dtype=torch.float64))
    classes = torch.tensor([3, 2, 1, 0, 0, 1, 2, 3])
    a, m = posterior.at(x, p, classes, means=True)
    assert m is not None
    for c in range(4):
        rows = (classes == c).nonzero()[:, 0]
        places = [1] if c == 2 else [0, 1]
        own = None if fractions is None else tuple(fractions[c][k] / sum(fractions[c]) for k in places)
        engine = PosteriorEngine(shards=[PARTS[c][k] for k in places], fractions=own)
        answer = engine.at(x[rows], Cosine().at(torch.linspace(0.2, 1.0, 8, dtype=torch.float64)[rows]))
        torch.testing.assert_close(a[rows][:, places], answer.a)
        torch.testing.assert_close(m[rows], answer.m)
        assert c != 2 or not a[rows, 0].any()
    alone, _ = posterior.at(x, p, None, means=False)
    torch.testing.assert_close(alone, posterior.at(x, p, torch.full((8,), 3), means=False)[0])
