"""Experts in limited room: the same samples, no more in memory than allowed, none loaded that is not asked."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from attrs import evolve
from exact import exact
from torch import Tensor, nn

from mixvel_core.protocols import Expert, Selector, WeightedExpert
from mixvel_core.sampling.dispatch import evaluate
from mixvel_core.sampling.parking import ParkedNetwork, network_of
from mixvel_core.sampling.residency import Residency, ResidentExpert, load_resident
from mixvel_core.sampling.snr_matched import snr_matched
from mixvel_integrators.integrators import DDIM
from mixvel_networks.denoiser import NetworkDenoiser
from mixvel_oracles.denoisers import OracleRouter
from mixvel_schedules.schedules import Cosine, Rectified
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


class Scaled(nn.Module):
    """x times a weight, plus a buffer."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor([factor]), requires_grad=False)
        self.shift: Tensor
        self.register_buffer("shift", torch.tensor([0.5 * factor]))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return x * self.factor + self.shift


def network_experts(count: int) -> tuple[NetworkDenoiser, ...]:
    return tuple(
        NetworkDenoiser(schedule=Cosine(), moments=None, network=Scaled(k + 1.0), prediction="x0", clip=False)
        for k in range(count)
    )


def parked(experts: tuple[Expert, ...], limit: int) -> tuple[tuple[ResidentExpert, ...], Residency]:
    room = Residency(limit=limit, parks_on=torch.device("cpu"))
    made = tuple(
        ResidentExpert(schedule=e.schedule, moments=None, load=partial(copy.deepcopy, e), residency=room)
        for e in experts
    )
    return made, room


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_parked_experts_are_read_once_and_answer_the_same(limit: int) -> None:
    experts = network_experts(4)
    resident, room = parked(experts, limit)
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    everyone = torch.ones(8, 4, dtype=torch.bool)
    wanted = evaluate(experts, x, 0.4, everyone).m
    with torch.inference_mode():
        for _ in range(3):
            assert torch.equal(evaluate(resident, x, 0.4, everyone).m, wanted)
    assert room.loads == 4
    assert room.most_held == limit
    # The first step reads all; each of the others finds `limit` of them and fetches the rest.
    assert room.fetches == 2 * (4 - limit)
    assert room.host_bytes() == 4 * 2 * 4


def test_the_next_expert_comes_while_the_present_one_stays() -> None:
    resident, room = parked(network_experts(3), 2)
    for expert in resident:
        expert.load_now()
    assert [expert.is_resident for expert in resident] == [False, True, True]
    resident[0].fetch()
    # The one used last, number 2, computes; number 1 made room.
    assert [expert.is_resident for expert in resident] == [True, False, True]
    assert room.fetches == 1
    resident[0].load_now()
    assert room.fetches == 1


def test_with_room_for_one_nothing_comes_before_its_turn() -> None:
    resident, room = parked(network_experts(2), 1)
    for expert in resident:
        expert.load_now()
    resident[0].fetch()
    assert [expert.is_resident for expert in resident] == [False, True]
    assert (room.fetches, room.most_held) == (0, 1)


def test_weights_go_to_host_memory_and_come_back_to_the_device() -> None:
    network = Scaled(3.0)
    parking = ParkedNetwork(network=network, device=torch.device("cpu"), stream=None)
    on_device = network.factor.data_ptr()
    near = [parking.is_near]
    parking.park()
    near.append(parking.is_near)
    assert network.factor.data_ptr() != on_device
    waiting = network.factor.data_ptr()
    parking.wait()
    near.append(parking.is_near)
    assert near == [True, False, True]
    assert network.factor.data_ptr() not in (on_device, waiting)
    assert float(network.factor) == 3.0
    assert float(network.shift) == 1.5
    assert parking.size == 8


def test_the_network_of_an_expert_is_found_behind_another_schedule() -> None:
    [expert] = network_experts(1)
    matched = snr_matched(expert, Rectified())
    assert isinstance(matched, WeightedExpert)
    assert network_of(matched) is expert.network
    assert network_of(snr_matched(exact(Cosine(), experts=2, dimension=2).experts[0], Rectified())) is None
