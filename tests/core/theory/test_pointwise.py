"""Bounds at one time, against autograd on random discrete data: no ratio above 1, wherever and whenever."""

from __future__ import annotations

import math

import pytest
import torch
from attrs import frozen
from discrete import Discrete, along_flow, in_time, jacobians, random_discrete
from exact import all_schedules
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mixvel_core.theory.growth import acceleration_sharp, dm_paper, dm_sharp, ds, dv, v_sharp
from mixvel_core.theory.lipschitz import L_s_paper, L_s_sharp, L_v_paper, L_v_sharp
from mixvel_core.theory.mean_square import network_sharp, noise_sharp
from mixvel_core.theory.problem import is_preserving
from mixvel_core.theory.rates import Rates, rates_at

SCHEDULES = all_schedules()
ROUNDING = 1 + 1e-9
FEW = settings(deadline=None, max_examples=40)


@frozen(kw_only=True)
class Case:
    """Data, a time, points near it and far from it, and the rates at that time."""

    data: Discrete
    x: Tensor
    t: Tensor
    rates: Rates

    @property
    def norm(self) -> Tensor:
        norm: Tensor = self.x.norm(dim=1)
        return norm


@st.composite
def cases(draw: st.DrawFn) -> Case:
    schedule = SCHEDULES[draw(st.sampled_from(sorted(SCHEDULES)))]
    experts = draw(st.integers(1, 4))
    data = random_discrete(
        schedule,
        dimension=draw(st.integers(1, 6)),
        count=draw(st.integers(experts, 9)),
        experts=experts,
        radius=10 ** draw(st.floats(-1.5, 1.5)),
        seed=draw(st.integers(0, 10**6)),
    )
    t = torch.tensor(draw(st.one_of(st.sampled_from([1e-3, 1.0]), st.floats(1e-3, 1.0))), dtype=torch.float64)
    p = schedule.at(t)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    noise = torch.randn(24, data.points.shape[1], generator=generator, dtype=torch.float64)
    # Halfway between two data points is where the posterior is torn most; far away it is settled.
    pairs = data.points[torch.randint(len(data.points), (24, 2), generator=generator)]
    scale = torch.tensor([0.0, 0.1, 1.0, 10.0], dtype=torch.float64).repeat(6)[:, None]
    return Case(data=data, x=p.alpha * pairs.mean(1) + p.sigma * scale * noise, t=t, rates=rates_at(schedule, t))


def holds(value: Tensor, bound: Tensor) -> bool:
    """value <= bound at every point, up to rounding: relative to the bound, absolute where that is zero."""
    return bool((value <= bound * ROUNDING + 1e-12 * bound.max().clamp_min(1.0)).all())


@FEW
@given(cases())
def test_jacobians_of_score_and_velocity(case: Case) -> None:
    R = case.data.R
    of_score = torch.linalg.matrix_norm(jacobians(case.data.s, case.x, case.t), ord=2)
    of_velocity = torch.linalg.matrix_norm(jacobians(case.data.v, case.x, case.t), ord=2)
    assert holds(of_score, L_s_sharp(case.rates, R))
    assert holds(of_velocity, L_v_sharp(case.rates, R))
    assert L_s_sharp(case.rates, R) <= L_s_paper(case.rates, R)
    assert L_v_sharp(case.rates, R) <= L_v_paper(case.rates, R)


@FEW
@given(cases())
def test_changes_in_time(case: Case) -> None:
    R, rates = case.data.R, case.rates
    sharp, paper = dm_sharp(rates, R), dm_paper(rates, R)
    assert holds(in_time(case.data.m, case.x, case.t).norm(dim=1), sharp.at(case.norm))
    assert holds(in_time(case.data.s, case.x, case.t).norm(dim=1), ds(rates, R, sharp).at(case.norm))
    assert holds(in_time(case.data.v, case.x, case.t).norm(dim=1), dv(rates, R, sharp).at(case.norm))
    assert (sharp.at(case.norm) <= paper.at(case.norm)).all()


@FEW
@given(cases())
def test_growth_and_acceleration(case: Case) -> None:
    R, rates = case.data.R, case.rates
    bound = v_sharp(rates, R).at(case.norm)
    assert holds(case.data.v(case.x, case.t).norm(dim=1), bound)
    assert holds(case.data.v_k(case.x, case.t).norm(dim=2).amax(1), bound)
    acceleration = acceleration_sharp(rates, R).at(case.norm)
    assert holds(along_flow(case.data, case.x, case.t).norm(dim=1), acceleration)
    # At most the paper's bound of the change at a fixed point alone, which leaves out what moving adds.
    assert holds(acceleration, dv(rates, R, dm_paper(rates, R)).at(case.norm))


@FEW
@given(cases(), st.floats(0.0, 1.0), st.floats(0.0, 0.5))
def test_errors_of_router_and_experts_and_the_noise_of_drawing(case: Case, eps_r: float, most_c: float) -> None:
    R, K = case.data.R, case.data.K
    a, m_k = case.data.a(case.x, case.t), case.data.m_k(case.x, case.t)
    generator = torch.Generator().manual_seed(K)
    wrong = torch.softmax(3 * torch.randn(a.shape, generator=generator, dtype=torch.float64), dim=1)
    a_hat = (1 - most_c) * a + most_c * wrong
    eps_c = float((a_hat - a).abs().max())
    direction = torch.nn.functional.normalize(torch.randn(m_k.shape, generator=generator, dtype=torch.float64), dim=2)
    m_hat = m_k + eps_r * R * direction
    p = case.data.schedule.at(case.t)
    rho = p.d_alpha - p.alpha * p.d_sigma / p.sigma
    mean = torch.einsum("bk,bkd->bd", a_hat, m_hat)
    off = (rho * (mean - torch.einsum("bk,bkd->bd", a, m_k))).norm(dim=1)
    bound = network_sharp(case.rates, K, R, eps_r * R, eps_c)
    assert float((off - bound).max()) <= 1e-9 * float(case.rates.c) * R
    noise = (a_hat * (rho * (m_hat - mean[:, None])).square().sum(2)).sum(1).sqrt()
    assert holds(noise, noise_sharp(case.rates, R, eps_r * R))


@pytest.mark.parametrize("name", ["vp-linear", "vp-cosine", "ddpm-table"])
@pytest.mark.parametrize("R", [0.03, 1.0, 40.0])
def test_on_vp_paths_the_general_formulas_are_those_of_the_paper(name: str, R: float) -> None:
    """Written out as the theory has them, in alpha and its derivatives alone."""
    schedule = SCHEDULES[name]
    assert is_preserving(schedule)
    t = torch.tensor([1e-3, 0.1, 0.5, 0.9, 1.0], dtype=torch.float64)
    p, rates = schedule.at(t), rates_at(schedule, t)
    alpha, sigma, d = p.alpha, p.sigma, p.d_alpha.abs()
    c, q = d / sigma**2, p.dd_alpha.abs() / sigma**2 + 2 * alpha * d**2 / sigma**4
    A_m, B_m = d * (1 + alpha**2) * R**2 / sigma**4, 2 * d * alpha * R**3 / sigma**4
    A_s = alpha * A_m / sigma**2 + 2 * alpha * d / sigma**4
    B_s = d * R / sigma**2 + alpha * B_m / sigma**2 + 2 * alpha**2 * d * R / sigma**4
    m = dm_paper(rates, R)
    s, v = ds(rates, R, m), dv(rates, R, m)
    expected = {"L_v": alpha * c * (1 + R**2 / sigma**2), "A_m": A_m, "B_m": B_m, "A_s": A_s, "B_s": B_s, "c": c}
    found = {"L_v": L_v_paper(rates, R), "A_m": m.A, "B_m": m.B, "A_s": s.A, "B_s": s.B, "c": rates.c}
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-9, atol=1e-12, msg=key)
    # The true sigma'' can be smaller than what alpha's derivatives say one by one.
    assert holds(v.A, alpha * q + c * (A_m + d))
    assert holds(v.B, R * q + c * B_m)


def test_the_bounds_are_attained() -> None:
    """Two points at distance 2 R: between them the covariance is R^2, and L_v and the growth are what they can be."""
    schedule = SCHEDULES["vp-cosine"]
    two = torch.tensor([[1.5], [-1.5]], dtype=torch.float64)
    data = Discrete(
        schedule=schedule, points=two, weights=torch.full((2,), 0.5, dtype=torch.float64), shard=torch.tensor([0, 1])
    )
    t = torch.tensor(0.3, dtype=torch.float64)
    rates = rates_at(schedule, t)
    middle = torch.zeros(1, 1, dtype=torch.float64)
    steepest = jacobians(data.v, middle, t).abs().item()
    assert math.isclose(steepest, L_v_sharp(rates, 1.5).item(), rel_tol=1e-12)
    noise = data.v_k(middle, t).norm(dim=2).mean().item()
    assert math.isclose(noise, noise_sharp(rates, 1.5, 0.0).item(), rel_tol=1e-12)
