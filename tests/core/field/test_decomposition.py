"""Proposition 1 on oracles: sum_k a_k v_k is the mixture's own velocity, for every schedule, expert and time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from exact import all_schedules, exact
from hypothesis import given, settings
from hypothesis import strategies as st

from mixvel_core.field.conversions import add_noise, denoiser, point_for, score, target, velocity
from mixvel_core.protocols import NoiseSchedule
from mixvel_oracles.denoisers import EmpiricalExpert, OracleRouter

SCHEDULES = all_schedules()
TIMES = [1e-3, 0.05, 0.5, 0.95, 1.0]


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("t", TIMES)
@pytest.mark.parametrize("dimension", [1, 5])
def test_routed_velocities_sum_to_the_mixtures_own(name: str, t: float, dimension: int) -> None:
    problem = exact(SCHEDULES[name], experts=5, dimension=dimension, seed=3)
    x = torch.randn(40, dimension, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    times = torch.full((40,), t, dtype=torch.float64)
    p = point_for(problem.schedule, times, x)
    a, _ = problem.router.weights(x, times, None)
    routed = sum(a[:, k, None] * velocity(e.denoise(x, times), x, p) for k, e in enumerate(problem.experts))
    own = velocity(problem.whole.denoise(x, times), x, p)
    assert isinstance(routed, torch.Tensor)
    assert float((routed - own).abs().max()) <= 1e-10 * max(1.0, float(own.abs().max()))


@pytest.mark.parametrize("name", SCHEDULES)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**20), t=st.floats(0.01, 1.0), bandwidth=st.sampled_from([0.0, 0.2]))
def test_the_same_holds_for_finite_data(name: str, seed: int, t: float, bandwidth: float) -> None:
    schedule = SCHEDULES[name]
    rng = np.random.default_rng(seed)
    items = torch.from_numpy(rng.uniform(-1, 1, (12, 1, 2, 2)))
    cuts = [0, 1, 5, 12]
    parts = [items[i:j] for i, j in pairwise(cuts)]
    experts = tuple(EmpiricalExpert(schedule=schedule, items=p, bandwidth=bandwidth) for p in parts)
    whole = EmpiricalExpert(schedule=schedule, items=items, bandwidth=bandwidth)
    router = OracleRouter(experts=experts, fractions=tuple(len(p) / 12 for p in parts))
    x = torch.from_numpy(rng.standard_normal((8, 1, 2, 2)))
    times = torch.full((8,), t, dtype=torch.float64)
    a, _ = router.weights(x, times, None)
    m = sum(a[:, k, None, None, None] * e.denoise(x, times) for k, e in enumerate(experts))
    torch.testing.assert_close(m, whole.denoise(x, times), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(a.sum(1), torch.ones(8, dtype=torch.float64))


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_denoiser_is_tweedies(name: str) -> None:
    """V3: the score that the denoiser gives is the gradient of the log density."""
    problem = exact(SCHEDULES[name], experts=3, dimension=4)
    t = torch.full((20,), 0.37, dtype=torch.float64)
    x = torch.randn(20, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()
    (gradient,) = torch.autograd.grad(problem.whole.log_density(x, t).sum(), x)
    s = score(problem.whole.denoise(x, t), x, point_for(problem.schedule, t, x))
    torch.testing.assert_close(s, gradient, rtol=1e-9, atol=1e-9)


def test_a_finite_data_set_has_the_posterior_mean_and_density_of_the_plain_formula() -> None:
    schedule = SCHEDULES["vp-linear"]
    rng = np.random.default_rng(0)
    items, x = torch.from_numpy(rng.uniform(-1, 1, (50, 6))), torch.from_numpy(rng.standard_normal((9, 6)))
    t = torch.linspace(0.02, 1.0, 9, dtype=torch.float64)
    p = schedule.at(t)
    squares = ((x[:, None] - p.alpha[:, None, None] * items) ** 2).sum(-1)
    logits = -0.5 * squares / p.sigma[:, None] ** 2
    expert = EmpiricalExpert(schedule=schedule, items=items)
    torch.testing.assert_close(expert.denoise(x, t), logits.softmax(1) @ items, rtol=1e-10, atol=1e-12)
    density = logits.logsumexp(1) - torch.tensor(50.0).double().log() - 6 * p.sigma.log()
    torch.testing.assert_close(expert.log_density(x, t), density, rtol=1e-10, atol=1e-10)


def test_at_pure_noise_the_denoiser_is_the_mean_and_the_weights_are_pi() -> None:
    problem = exact(SCHEDULES["vp-cosine"], experts=4, dimension=3)
    x, _ = problem.start(10)
    one = torch.ones(10, dtype=torch.float64)
    for expert in problem.experts:
        torch.testing.assert_close(expert.denoise(x, one), expert.moments.mean.expand(10, 3))  # type: ignore[union-attr]  # oracles share their moments
    a, _ = problem.router.weights(x, one, None)
    torch.testing.assert_close(a, torch.tensor(problem.fractions, dtype=torch.float64).expand(10, 4))


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(SCHEDULES)),
    prediction=st.sampled_from(["x0", "eps", "v", "flow"]),
    t=st.floats(0.01, 0.99),
    seed=st.integers(0, 1000),
)
def test_every_prediction_type_leads_back_to_the_clean_point(name: str, prediction: str, t: float, seed: int) -> None:
    """V4: a network that is exactly right for one noising gives exactly x_0 as its denoiser."""
    generator = torch.Generator().manual_seed(seed)
    x_0, eps = torch.randn(2, 3, 2, dtype=torch.float64, generator=generator)
    p = point_for(SCHEDULES[name], torch.full((3,), t, dtype=torch.float64), x_0)
    x = add_noise(x_0, eps, p)
    output = target(prediction, x_0, eps, p)  # type: ignore[arg-type]  # sampled from the literal's own values
    m = denoiser(prediction, output, x, p)  # type: ignore[arg-type]  # as above
    torch.testing.assert_close(m, x_0, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", SCHEDULES)
def test_velocity_moves_a_single_point_along_its_straight_noising(name: str) -> None:
    """For one data point the flow is x(t) = alpha x_0 + sigma eps, so v = alpha' x_0 + sigma' eps."""
    schedule: NoiseSchedule = SCHEDULES[name]
    x_0, eps = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p = point_for(schedule, torch.tensor([0.1, 0.4, 0.8, 1.0], dtype=torch.float64), x_0)
    v = velocity(x_0, add_noise(x_0, eps, p), p)
    torch.testing.assert_close(v, p.d_alpha * x_0 + p.d_sigma * eps, rtol=1e-9, atol=1e-9)
