"""Log-densities of flows against closed forms, traces against Jacobians, and the convention of bits per dimension."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from exact import Exact, exact
from torch import Tensor

from mixvel_core.errors import SamplingError
from mixvel_core.protocols import GaussianLaw, NoiseSchedule
from mixvel_core.sampling.likelihood import (
    Products,
    Trace,
    bits_per_dimension,
    dequantised,
    log_density,
    mixture_log_density,
)
from mixvel_core.sampling.ode import Denoise, full_mixture
from mixvel_core.sampling.routed_field import SingleExpertRouter
from mixvel_oracles.denoisers import EmpiricalExpert, gaussian_expert
from mixvel_schedules.schedules import Cosine, Rectified

DELTA = 0.05


@pytest.fixture(scope="module")
def problem() -> Exact:
    return exact(Cosine(), experts=3, dimension=2)


def alone(one: Exact, k: int) -> Denoise:
    return full_mixture(schedule=one.schedule, experts=one.experts[k : k + 1], router=SingleExpertRouter())


def exactly(one: Exact, x: Tensor, k: int | None = None) -> Tensor:
    """log p_delta in closed form (D3), of the mixture or of expert k."""
    expert = one.whole if k is None else one.experts[k]
    return expert.log_density(x, x.new_full((len(x),), DELTA)) - 0.5 * one.dimension * math.log(2 * math.pi)


@pytest.mark.parametrize("schedule", [Cosine(), Rectified()], ids=["vp-cosine", "rectified"])
def test_one_gaussian_has_its_density(schedule: NoiseSchedule) -> None:
    one = exact(schedule, experts=1, dimension=3)
    x = one.start(4)[0]
    found = log_density(alone(one, 0), x, schedule=schedule, delta=DELTA, trace=Trace(), rtol=1e-8)
    torch.testing.assert_close(found, exactly(one, x), rtol=1e-6, atol=1e-6)


def test_a_routed_mixture_has_its_density_by_its_own_flow_and_by_those_of_its_experts(problem: Exact) -> None:
    x = problem.start(3, seed=1)[0]
    routed = full_mixture(schedule=problem.schedule, experts=problem.experts, router=problem.router)
    wanted = exactly(problem, x)
    found = log_density(routed, x, schedule=problem.schedule, delta=DELTA, trace=Trace(), rtol=1e-8)
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)
    each = [
        log_density(alone(problem, k), x, schedule=problem.schedule, delta=DELTA, trace=Trace(), rtol=1e-8)
        for k in range(len(problem.experts))
    ]
    torch.testing.assert_close(each[1], exactly(problem, x, 1), rtol=1e-6, atol=1e-6)
    found = mixture_log_density(torch.stack(each, dim=1), problem.fractions)
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


def jacobian_traces(m: Denoise, x: Tensor, t: float) -> Tensor:
    """By central differences, (B,)."""
    found = torch.zeros(len(x), dtype=torch.float64)
    for d in range(x.shape[1]):
        step = torch.zeros(x.shape[1], dtype=torch.float64)
        step[d] = 1e-5
        found += (m(x + step, t) - m(x - step, t))[:, d] / 2e-5
    return found


@pytest.mark.parametrize("products", ["backward", "forward"])
def test_exact_traces_are_those_of_the_jacobian(problem: Exact, products: Products) -> None:
    m = full_mixture(schedule=problem.schedule, experts=problem.experts, router=problem.router)
    x, trace = problem.start(4)[0], Trace(products=products)
    value, found = trace.of(m, x, 0.4, trace.vectors(torch.arange(4), (2,), torch.float64))
    torch.testing.assert_close(found, jacobian_traces(m, x, 0.4), rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(value, m(x, 0.4))


def test_closed_forms_of_items_are_differentiated_forwards(problem: Exact) -> None:
    items = problem.start(7, seed=4)[0]
    expert = EmpiricalExpert(schedule=problem.schedule, items=items, bandwidth=0.3)
    m = full_mixture(schedule=problem.schedule, experts=[expert], router=SingleExpertRouter())
    x, trace = problem.start(4)[0], Trace(products="forward")
    _, found = trace.of(m, x, 0.4, trace.vectors(torch.arange(4), (2,), torch.float64))
    torch.testing.assert_close(found, jacobian_traces(m, x, 0.4), rtol=1e-7, atol=1e-8)


def test_hutchinsons_estimate_is_unbiased_and_a_function_of_seed_and_point(problem: Exact) -> None:
    m = full_mixture(schedule=problem.schedule, experts=problem.experts, router=problem.router)
    x, index = problem.start(3)[0], torch.arange(3)
    trace = Trace(probes=100, seed=2)
    vectors = trace.vectors(index, (2,), torch.float64)
    assert set(vectors.flatten().tolist()) == {-1.0, 1.0}
    singles = torch.stack([trace.of(m, x, 0.4, u[None])[1] * 100 for u in vectors])
    _, mean = trace.of(m, x, 0.4, vectors)
    torch.testing.assert_close(mean, singles.mean(0))
    assert bool(((mean - jacobian_traces(m, x, 0.4)).abs() < 4 * singles.std(0) / 10 + 1e-8).all())
    torch.testing.assert_close(trace.vectors(index[1:], (2,), torch.float64), vectors[:, 1:])
    assert not torch.equal(Trace(probes=100, seed=3).vectors(index, (2,), torch.float64), vectors)


def test_a_round_gaussian_needs_one_probe(problem: Exact) -> None:
    """Its Jacobian is a multiple of the identity, of which every vector of signs gives the trace."""
    law = GaussianLaw(weights=np.ones(1), means=np.zeros((1, 5)), covariances=0.16 * np.eye(5)[None])
    expert = gaussian_expert(law, problem.schedule)
    m = full_mixture(schedule=problem.schedule, experts=[expert], router=SingleExpertRouter())
    x = torch.linspace(-1, 1, 10, dtype=torch.float64).reshape(2, 5)
    p = problem.schedule.at(torch.tensor(DELTA, dtype=torch.float64))
    variance = float(p.alpha**2 * 0.16 + p.sigma**2)
    wanted = -0.5 * (x.square().sum(1) / variance + 5 * math.log(2 * math.pi * variance))
    found = log_density(m, x, schedule=problem.schedule, delta=DELTA, trace=Trace(probes=1), rtol=1e-8)
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


def test_bits_are_those_of_bytes() -> None:
    """Evenly spread over [-1, 1] an item takes log2(255) bits a dimension: 255 steps of 1/127.5."""
    log_p = torch.tensor([-3 * math.log(2.0)])
    assert float(bits_per_dimension(log_p, 3, 256)) == pytest.approx(math.log2(255))
    assert float(bits_per_dimension(log_p, 3, None)) == pytest.approx(1.0)
    assert float(bits_per_dimension(log_p, 3, 3)) == pytest.approx(1.0)


def test_dequantised_values_stay_within_their_step_and_belong_to_their_item() -> None:
    x = torch.randint(0, 256, (50, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    scaled = x.double() / 127.5 - 1
    moved = dequantised(scaled, 256, torch.arange(50), seed=0)
    apart = (moved - scaled) * 127.5
    assert float(apart.abs().max()) <= 0.5
    assert abs(float(apart.mean())) < 4 * (1 / 12 / apart.numel()) ** 0.5
    torch.testing.assert_close(dequantised(scaled[7:9], 256, torch.tensor([7, 8]), seed=0), moved[7:9])
    torch.testing.assert_close(((moved + 1) * 127.5).round(), x.double())


def test_a_field_that_is_too_rough_is_refused(problem: Exact) -> None:
    def rough(x: Tensor, t: float) -> Tensor:
        return x * math.nan

    with pytest.raises(SamplingError, match="does not reach tolerance"):
        log_density(rough, problem.start(2)[0], schedule=problem.schedule, delta=DELTA, trace=Trace(), rtol=1e-8)
