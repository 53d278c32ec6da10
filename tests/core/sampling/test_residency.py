"""Experts in limited room: the same samples, no more in memory than allowed, none loaded that is not asked."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from attrs import evolve
from exact import exact

from mixvel_core.protocols import Expert, Selector
from mixvel_core.sampling.residency import Residency, ResidentExpert, load_resident
from mixvel_integrators.integrators import DDIM
from mixvel_oracles.denoisers import OracleRouter
from mixvel_schedules.schedules import Cosine
from mixvel_selectors.cached import Cached
from mixvel_selectors.selectors import Iid, Mixture, TopK


def behind(experts: tuple[Expert, ...], limit: int | None) -> tuple[tuple[ResidentExpert, ...], Residency]:
    room = Residency(limit=limit)

    def load(k: int) -> Expert:
        return experts[k]

    made = tuple(
        ResidentExpert(schedule=e.schedule, moments=e.moments, load=partial(load, k), residency=room)
        for k, e in enumerate(experts)
    )
    return made, room


@pytest.mark.parametrize("limit", [1, 2, None])
@pytest.mark.parametrize("selector", [Mixture(), Iid(), Cached()], ids=["mixture", "iid", "cached"])
def test_room_changes_no_sample(selector: Selector, limit: int | None) -> None:
    problem = exact(Cosine(), experts=4, dimension=3)
    sampler = problem.sampler(selector, DDIM(), 6, 0.05)
    experts, room = behind(problem.experts, limit)
    expected = sampler.sample(count=9, shape=(3,), dtype=torch.float64)
    got = evolve(sampler, experts=experts).sample(count=9, shape=(3,), dtype=torch.float64)
    assert torch.equal(got.x, expected.x)
    assert sum(expert.is_resident for expert in experts) <= (limit or 4)
    # Taking turns in a room for n, each step finds n experts where the last one left them.
    if isinstance(selector, Mixture) and limit is not None:
        assert room.loads == 4 + 5 * (4 - limit)


def test_an_expert_never_selected_is_never_loaded() -> None:
    problem = exact(Cosine(), experts=3, dimension=2)
    experts, room = behind(problem.experts, None)
    router = OracleRouter(experts=problem.experts, fractions=(1.0, 1e-300, 1e-300))
    sampler = evolve(problem.sampler(TopK(k=1), DDIM(), 5, 0.05), experts=experts, router=router)
    sampler.sample(count=8, shape=(2,), dtype=torch.float64)
    assert room.loads == 1
    assert [expert.is_resident for expert in experts] == [True, False, False]


def test_two_sets_of_experts_share_the_room_of_one_residency() -> None:
    problem = exact(Cosine(), experts=4, dimension=3)
    experts, room = behind(problem.experts, 2)
    [monolith] = [evolve(experts[0], load=lambda: problem.whole)]
    load_resident(experts)
    assert [expert.is_resident for expert in experts] == [True, True, False, False]
    load_resident([monolith])
    assert [expert.is_resident for expert in (*experts, monolith)] == [False, True, False, False, True]
    # Those in memory stay, and the monolith makes room.
    load_resident(experts)
    assert [expert.is_resident for expert in (*experts, monolith)] == [True, True, False, False, False]
    assert room.loads == 4
